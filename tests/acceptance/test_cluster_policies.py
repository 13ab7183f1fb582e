"""Production and test clusters of one project have different rules."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.app import Bot
from bot.doctor.results import Level
from bot.sandbox.atlas import PROJECT_ID
from tests.acceptance.actions import ABE, ADA, APPROVE, OPS, shows
from tests.acceptance.doctor_environment import DoctorEnvironment, opened, the
from tests.acceptance.environment import RUNNING, open_environment
from tests.support.polling import wait_until
from tests.support.process import run_command

NOTE = "Customer data. Call security too: 7700."
TOML = f"""
[[projects]]
name = "shop"
id = "{PROJECT_ID}"
requesters = ["U0RINA0001"]

[[projects.clusters]]
names = ["PROD-*"]
note = "{NOTE}"
approvals = 1
approvers = ["{ADA}", "{ABE}"]
watch_channel = "{OPS}"

[[projects.clusters]]
names = ["nosuch-*"]
"""
UNUSED = "the entry of clusters nosuch-* applies to no cluster"


def written(folder: Path) -> dict[str, str | None]:
    """Write the file, and return the variables with it."""
    file = folder / "projects.toml"
    file.write_text(TOML, "utf-8")
    return {"BOT_PROJECTS_FILE": str(file), "MONGODB_ATLAS_PROJECT_ID": None}


async def test_each_cluster_follows_its_entry_and_a_reload_raises_it_for_a_waiting_request(
    tmp_path: Path,
) -> None:
    environ, file = written(tmp_path), tmp_path / "projects.toml"
    with capture_logs() as logs:
        async with open_environment(tmp_path, environ) as env:
            await wait_until(lambda: UNUSED in str(logs))
            await env.slack.until(lambda: RUNNING[1] in str(env.slack.state.messages("ops")))
            staging, prod = env.new_job("staging-eu"), env.new_job("prod-us")
            await env.slack.until(lambda: prod[1] in str(env.slack.state.messages("ops")))
            assert NOTE in env.text_about(prod[1])
            assert staging[1] not in str(env.slack.state.messages("ops"))

            assert (await env.submit_request(staging)).ok
            outcome = await env.wait_for_outcome(staging[1])
            assert outcome.state == "cancelled"
            assert NOTE not in outcome.card

            assert NOTE in str((await env.open_dialog(RUNNING))["blocks"])
            assert (await env.submit_request(RUNNING)).ok
            card = await shows(env, RUNNING[1], "awaiting")
            assert NOTE in env.slack.state.text_of(card)
            file.write_text(TOML.replace("approvals = 1", "approvals = 9"), "utf-8")
            assert isinstance(env.bot, Bot)
            metrics = env.bot.metrics
            await wait_until(lambda: b"settings_valid 0.0" in metrics.render())
            file.write_text(TOML.replace("approvals = 1", "approvals = 2"), "utf-8")
            await wait_until(lambda: "clusters PROD-*: approvals 1 → 2" in str(logs))
            assert b"settings_valid 1.0" in metrics.render()
            await env.slack.people.clicks("ada", card, APPROVE)
            await env.slack.until(lambda: "(1 of 2)" in str(env.card(RUNNING[1])))
            assert "DELETE" not in env.atlas_methods(RUNNING[1])
            card = await shows(env, RUNNING[1], "awaiting")
            await env.slack.people.clicks("abe", card, APPROVE)
            assert (await env.wait_for_outcome(RUNNING[1])).state == "cancelled"


@pytest.fixture
async def doctor(tmp_path: Path) -> AsyncIterator[DoctorEnvironment]:
    async with opened(tmp_path) as env:
        yield env


@pytest.mark.usefixtures("single_reads")
async def test_doctor_says_which_entry_applies_and_show_has_the_note(
    doctor: DoctorEnvironment,
) -> None:
    environ = written(doctor.folder)
    findings = await doctor.examine(environ)
    shown = await run_command("show", *RUNNING, "--format", "json", **doctor.environ(environ))

    applied = the(findings, "atlas_cluster_policies").message
    assert applied.startswith("PROD-*: prod-eu, prod-us; nosuch-*: none; no entry: ")
    assert any(UNUSED in each.message for each in findings if each.level is Level.WARNING)
    assert json.loads(shown.out)["note"] == NOTE
