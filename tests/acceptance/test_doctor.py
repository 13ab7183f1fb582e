"""`cancel-restore doctor` between the fake servers."""

import copy
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from bot.cli.report import READ_FIRST
from bot.doctor import atlas as of_atlas
from bot.doctor import slack as of_slack
from bot.doctor.results import Level, is_ok
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, Fault, Kind, Role
from bot.sandbox.slack import Fault as SlackFault
from bot.slack.client import new_session
from tests.acceptance.doctor_environment import DoctorEnvironment, at, opened, the
from tests.acceptance.environment import RUNNING, SERVICE_ACCOUNT
from tests.support.environ import NOWHERE
from tests.support.process import run_command

pytestmark = pytest.mark.usefixtures("single_reads")


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[DoctorEnvironment]:
    async with opened(tmp_path) as env:
        yield env


# All is well


async def test_valid_settings_leave_only_the_cancel_role_unchecked(env: DoctorEnvironment) -> None:
    findings = await env.examine()

    assert at(Level.PROBLEM, findings) == at(Level.WARNING, findings) == []
    assert at(Level.UNCHECKED, findings) == []
    assert len(at(Level.OK, findings)) == 25
    assert ("watch", "watch") in at(Level.OK, findings)


async def test_without_any_setting_of_slack_the_rest_is_checked_and_a_warning_says_so(
    env: DoctorEnvironment,
) -> None:
    alone = {n: v for n, v in env.environ().items() if not n.startswith("SLACK_")}
    ran = await run_command("doctor", **alone)
    mistyped = await run_command("doctor", SLACK_TOKEN="xoxb-1", **alone)
    half = await run_command("doctor", SLACK_APP_TOKEN=env.slack.app_token, **alone)
    refused = await run_command("doctor", **alone | {"MONGODB_ATLAS_PRIVATE_API_KEY": "wrong"})
    unwatched = await run_command("doctor", **alone, BOT_QUARANTINE="enforce")

    assert (ran.code, ran.err) == (0, "")
    assert "warning   Slack: it is not set up yet" in ran.out
    assert "ok        MONGODB_ATLAS_BASE_URL: " in ran.out
    assert f"Project {PROJECT_ID}" in ran.out.splitlines()
    assert (mistyped.code, mistyped.err) == (0, "")
    assert "SLACK_TOKEN (did you mean SLACK_APP_TOKEN or SLACK_BOT_TOKEN?)" in mistyped.out
    assert (half.code, half.err) == (2, "")
    assert half.out.count("SLACK_BOT_TOKEN is not set") == 1
    assert refused.code == 1
    assert (unwatched.code, unwatched.out) == (2, "")
    assert unwatched.err == (
        "BOT_QUARANTINE is enforce, but no channel is watched: set BOT_WATCH_CHANNEL, in which "
        "approvers keep downloads\n"
    )
    assert env.slack.calls == []


async def test_report_has_what_happened_and_no_secret_name_email_id_or_address(
    env: DoctorEnvironment,
) -> None:
    lock = {"BOT_BREAK_GLASS": "U0RINA0001", "BOT_APPROVERS": "S0APPROVE1,U0NOBODY01"}
    watch = {"BOT_WATCH_CHANNEL": "C0OPS00001", "BOT_LABEL": "Shop"}
    environ = env.environ({**lock, **watch, "BOT_QUARANTINE": "observe"})
    reason = "asked by dana@shop.example"
    cancel = ("cancel", *RUNNING, "--yes", "--without-approval", "--reason", reason)
    cancelled = await run_command(*cancel, **environ)
    env.atlas.world.keys[PUBLIC_KEY].roles[PROJECT_ID] = {Role.OWNER}
    ran = await run_command("doctor", "--report", **environ)
    head, _, body = ran.out.partition("\n\n")
    texts = {*environ.values()} - {"observe"}

    assert (cancelled.code, ran.code, ran.err) == (0, 1, f"{READ_FIRST}\n")
    assert head == READ_FIRST
    assert "atlas_roles warning GROUP_OWNER" in body
    assert re.search(r"atlas:cancel_answered \S+ 204 · request:cancelled", body)
    assert [text for text in texts if len(text) > 5 and text in body] == []
    assert re.findall(r"[0-9a-f]{24}|\b[UWSCTAB]0\w+|\S*@\S*|[\d.]+:\d+|//|127\.0", body) == []
    assert re.findall(r"(?i)shop|prod|dana|rina|ada\b|sandbox|ops\b", body) == []


async def test_report_and_json_exclude_each_other(env: DoctorEnvironment) -> None:
    ran = await run_command("doctor", "--report", "--json", **env.environ())

    assert (ran.code, ran.out) == (2, "")
    assert "leave out --json" in ran.err


async def test_doctor_changes_nothing(env: DoctorEnvironment) -> None:
    before = copy.deepcopy(list(env.atlas.world.jobs()))
    await env.examine()

    assert {call.method for call in env.slack.calls} == {
        *("auth.test", "bots.info", "apps.connections.open", "conversations.info"),
        *("users.info", "usergroups.users.list", "blocks.validate"),
    }
    assert {call.method for call in env.atlas.calls} == {"GET"}
    assert list(env.atlas.world.jobs()) == before
    assert env.slack.sockets.connections == 0
    assert not list(env.folder.iterdir())


# Each service broken in turn


def lock_out(env: DoctorEnvironment) -> None:
    env.atlas.behaviour.seen_address = "198.51.100.7"
    env.atlas.world.keys[PUBLIC_KEY].access_list = ["203.0.113.0/24"]


def ask_for_a_list(env: DoctorEnvironment) -> None:
    env.atlas.world.keys[PUBLIC_KEY].access_list = []


def take_the_role(env: DoctorEnvironment) -> None:
    env.atlas.world.keys[PUBLIC_KEY].roles[PROJECT_ID] = {Role.READ_ONLY}


def take_the_plan(env: DoctorEnvironment) -> None:
    env.slack.workspace.has_user_groups = False


SERVICES: dict[str, tuple[Callable[[DoctorEnvironment], None], str, str]] = {
    "an address that is not on the access list": (
        lock_out, "atlas_access_list", "198.51.100.7",
    ),
    "no access list where one is asked for": (
        ask_for_a_list, "atlas_access_list", "access list",
    ),
    "a key that may not read restore jobs": (
        take_the_role, "atlas_cancel_role", "no role of the key allows it (GROUP_READ_ONLY)",
    ),
    "a plan without user groups": (
        take_the_plan, "group", "no user groups",
    ),
}  # fmt: skip


#: The further checks that find the same cause.
MORE_PROBLEMS = {"atlas_cancel_role": ["atlas_restore_jobs"]}


@pytest.mark.parametrize("what", SERVICES)
async def test_refusal_of_a_service_is_a_problem_of_its_check(
    env: DoctorEnvironment, what: str
) -> None:
    change, check, message = SERVICES[what]
    change(env)
    findings = await env.examine()
    (found, *others) = (each for each in findings if each.level is Level.PROBLEM)

    assert found.check == check
    assert message in found.message
    assert found.hint
    assert [each.check for each in others] == MORE_PROBLEMS.get(check, [])


async def test_checks_behind_a_failed_one_are_one_result_with_the_reason(
    env: DoctorEnvironment,
) -> None:
    findings = await env.examine(
        {"SLACK_BOT_TOKEN": "xoxb-no", "MONGODB_ATLAS_PRIVATE_API_KEY": "no"}
    )
    unchecked = {f.check: f.message for f in findings if f.level is Level.UNCHECKED}

    assert set(unchecked) == {"slack_others", "atlas_others"}
    assert unchecked["slack_others"] == "the check of SLACK_BOT_TOKEN failed"
    assert "MONGODB_ATLAS_PRIVATE_API_KEY failed" in unchecked["atlas_others"]


async def test_roles_that_cannot_be_read_are_unchecked_with_the_reason(
    env: DoctorEnvironment,
) -> None:
    # The older API has no service accounts.
    findings = await env.examine({**SERVICE_ACCOUNT, "MONGODB_ATLAS_API_VERSION": "v1.0"})

    for check in ("atlas_roles", "atlas_cancel_role"):
        assert the(findings, check).level is Level.UNCHECKED
        assert "Atlas refused what was asked" in the(findings, check).message
    assert "the list itself was not read" in the(findings, "atlas_access_list").message


@pytest.mark.parametrize(
    ("code", "names_role"), [("USER_UNAUTHORIZED", True), ("UNEXPECTED_ERROR", False)]
)
async def test_unread_activity_feed_is_a_warning_with_the_role_if_that_is_missing(
    env: DoctorEnvironment, code: str, *, names_role: bool
) -> None:
    env.atlas.faults.add(Fault(kind=Kind.ERROR, code=code, path="/events", times=None))
    feed = the(await env.examine(), "atlas_activity_feed")

    assert feed.level is Level.WARNING
    assert ("GROUP_READ_ONLY" in feed.hint) == names_role


async def test_clock_is_compared_with_that_of_each_service(env: DoctorEnvironment) -> None:
    findings = await env.examine(now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    clocks = [("clock", "clock, by Slack"), ("clock", "clock, by Atlas")]

    assert at(Level.PROBLEM, findings) == clocks


# The program


async def test_all_problems_are_reported_without_a_secret(env: DoctorEnvironment) -> None:
    changes: dict[str, str | None] = {
        "SLACK_API_URL": f"{NOWHERE}/api/",
        "MONGODB_ATLAS_BASE_URL": NOWHERE,
        "DATABASE_URL": "postgresql://bot:sesame-password@127.0.0.1:1/bot",
        "HOST": "192.0.2.1",
    }
    ran = await run_command("doctor", "--json", **env.environ(changes))
    report = json.loads(ran.out)

    assert ran.code == 1
    assert {c["check"] for c in report["checks"] if c["level"] == "problem"} == {
        *("slack_token", "slack_app_token", "atlas", "database", "http"),
    }
    secrets = (env.slack.bot_token, env.slack.app_token, PRIVATE_KEY, "sesame-password")
    assert [secret for secret in secrets if secret in ran.out + ran.err] == []
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("kind", "path", "check"),
    [
        (Kind.CUT_BODY, "/backup/", "atlas_restore_jobs"),
        (Kind.ODD_CHALLENGE, "/groups/", "atlas"),
    ],
)
async def test_unusable_answers_of_atlas_are_problems(
    env: DoctorEnvironment, kind: Kind, path: str, check: str
) -> None:
    on: Literal["any", "call"] = "any" if kind is Kind.ODD_CHALLENGE else "call"
    env.atlas.faults.add(Fault(kind=kind, path=path, times=None, on=on))
    findings = await env.examine()
    (found,) = (each for each in findings if each.level is Level.PROBLEM)

    assert found.check == check
    assert "status.mongodb.com" in found.hint


async def test_hanging_services_are_reported_at_their_timeouts(
    env: DoctorEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_slack, "new_session", partial(new_session, 0.5))
    monkeypatch.setattr(of_atlas, "TIMEOUT", 0.5)
    env.slack.faults.add("*", SlackFault(kind="delay", seconds=300), times=9)
    env.atlas.faults.add(Fault(kind=Kind.HANG, times=None, on="any"))
    began = time.monotonic()
    findings = await env.examine()

    assert time.monotonic() - began < 10
    assert "Slack did not answer" in the(findings, "slack_token").message
    assert "Atlas did not answer in time" in the(findings, "atlas").message


async def test_shared_channels_guests_and_apps_are_warnings(env: DoctorEnvironment) -> None:
    findings = await env.examine(
        {
            "BOT_CHANNELS": "C0SHARED01",
            "BOT_REQUESTERS": "U0RINA0001,U0GUS00001,U0OLGA0001,U0DAN00001,U0CIBOT001",
        }
    )
    warned = {found.subject.split()[-1]: found.message for found in findings if found.hint}

    assert is_ok(findings)
    assert "another organization" in warned["C0SHARED01"]
    assert "a guest" in warned["U0GUS00001"]
    assert "of another organization" in warned["U0OLGA0001"]
    assert "deactivated" in warned["U0DAN00001"]
    assert "an app" in warned["U0CIBOT001"]
    assert "U0RINA0001" not in warned
