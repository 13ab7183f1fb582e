"""Each setting is made invalid in turn: start and doctor name it and the remedy."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import typer

from bot.cli import main
from bot.cli.main import run_until_stopped
from bot.doctor.results import Level, lines_of
from bot.sandbox.atlas import PRIVATE_KEY
from bot.startup_checks import StartError
from bot.timings import Timings
from tests.acceptance.doctor_environment import DoctorEnvironment, opened
from tests.acceptance.settings_errors.cases import DOCTOR, SERVICES, SHOP, ErrorCase
from tests.support.environ import NOWHERE
from tests.support.polling import wait_until
from tests.support.process import BotProcess, run_command
from tests.support.timings import SHORT_TIMINGS

pytestmark = pytest.mark.usefixtures("single_reads")


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[DoctorEnvironment]:
    async with opened(tmp_path) as env:
        yield env


def each(cases: list[ErrorCase]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("invalid", cases, ids=[case.name for case in cases])


def changes(invalid: ErrorCase, env: DoctorEnvironment) -> dict[str, str | None]:
    """Set the case up, and return its variables with the addresses of the running servers."""
    invalid.before(env)
    (env.folder / "projects.toml").write_text(invalid.toml, encoding="utf-8")
    (env.folder / "letter.txt").write_text("Dear Sir or Madam, " * 99, encoding="utf-8")
    known = {
        "taken": env.slack.base_url.rpartition(":")[2],
        "file": str(env.folder / "letter.txt"),
        "atlas": env.atlas.url,
        "slack": env.slack.base_url,
    }
    given = invalid.changes.items()
    return {name: value.format(**known) if value else None for name, value in given}


# Refused before anything is reached

WELL = {
    # Where nothing listens: without Slack's settings, doctor still asks Atlas.
    "MONGODB_ATLAS_BASE_URL": NOWHERE,
    "SLACK_BOT_TOKEN": "xoxb-1-2-abc",
    "SLACK_APP_TOKEN": "xapp-1-A-2-abc",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "pubkey01",
    "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
    "BOT_PROJECTS_FILE": "projects.toml",
}


@pytest.mark.parametrize(
    ("wrong", "toml"),
    [
        ({"SLACK_APP_TOKEN": "xoxb-1-2", "PORT": "http", "BOT_CHANNELS": "#ops"}, SHOP),
        ({}, f"{SHOP}approvals = 9\n"),
    ],
    ids=["several", "in the file"],
)
def test_invalid_settings_end_serve_and_doctor_with_2_and_the_same_sentences(
    wrong: dict[str, str],
    toml: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "projects.toml").write_text(toml, encoding="utf-8")
    for name, value in (WELL | wrong).items():
        monkeypatch.setenv(name, value)
    served, _, errors = outcome(main.serve_command, capsys)
    examined, text, same = outcome(lambda: main.doctor(as_json=False), capsys)
    reported, report, _ = outcome(lambda: main.doctor(as_json=True), capsys)

    assert (served, examined, reported) == (2, 2, 2)
    assert (text, errors) == ("", same)
    assert [check["says"] for check in json.loads(report)["checks"]] == errors.splitlines()
    names = {line.partition(" ")[0].rstrip(",") for line in errors.splitlines()}
    assert names == (wrong.keys() or {"BOT_PROJECTS_FILE"})


def outcome(
    command: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command that refuses."""
    with pytest.raises(typer.Exit) as caught:
        command()
    return caught.value.exit_code, *capsys.readouterr()


# Refused at the start, by a service


@each(SERVICES)
async def test_setting_that_a_service_refuses_stops_the_start_and_doctor_reports_it(
    invalid: ErrorCase, env: DoctorEnvironment
) -> None:
    given = changes(invalid, env)
    with pytest.raises(StartError) as caught:
        await run_until_stopped(env.settings(given), SHORT_TIMINGS)
    message = str(caught.value)
    findings = await env.examine(given)
    found = [f for f in findings if f.level in (Level.PROBLEM, Level.WARNING)]

    assert invalid.setting in message
    assert invalid.message in message
    assert "sesame" not in message
    assert [(f.check, f.subject) for f in found] == [(invalid.check, invalid.about)]
    assert invalid.message in "\n".join(lines_of(found[0]))
    assert found[0].hint


async def test_all_refusals_of_services_are_reported_together(env: DoctorEnvironment) -> None:
    taken = env.slack.base_url.rpartition(":")[2]
    wrong: dict[str, str | None] = {
        "SLACK_BOT_TOKEN": "xoxb-other",
        "SLACK_APP_TOKEN": "xapp-other",
        "DATABASE_URL": "sqlite:////no/such/folder/x.db",
        "PORT": taken,
    }
    ran = await run_command("serve", **env.environ(wrong))  # a process, for its exit code
    errors = [line for line in ran.err.splitlines() if any(name in line for name in wrong)]

    assert ran.code == 1
    assert errors == [
        (
            "The database cannot be opened (unable to open database file): check DATABASE_URL, and "
            "that its folder exists and the bot's user may write in it."
        ),
        (
            f"Port {taken} of 127.0.0.1 is taken by another program: stop it, or set PORT to "
            "another."
        ),
        (
            "Slack refuses SLACK_BOT_TOKEN (invalid_auth): copy the Bot User OAuth Token again, "
            "in Slack's app under OAuth & Permissions."
        ),
        (
            "Slack refuses SLACK_APP_TOKEN (invalid_auth): copy the App-Level Token again, in "
            "Slack's app under Basic Information; it needs the scope connections:write."
        ),
    ]


# Known to doctor alone


@each(DOCTOR)
async def test_doctor_reports_settings_that_only_services_can_check(
    invalid: ErrorCase, env: DoctorEnvironment
) -> None:
    findings = await env.examine(changes(invalid, env))
    (found,) = (each for each in findings if each.level is Level.PROBLEM)

    assert found.check == invalid.check
    assert invalid.about in found.subject
    assert invalid.message in found.message
    assert found.hint


async def test_unreachable_slack_keeps_the_start_waiting_and_is_logged(
    env: DoctorEnvironment,
) -> None:
    wrong = {"SLACK_API_URL": f"{NOWHERE}/api/"}
    with BotProcess(env.environ(wrong), Timings()) as bot:
        await wait_until(lambda: "check SLACK_API_URL and the network" in bot.log)
        code = await bot.stop()
        log = bot.log

    assert code == 0
    assert "RuntimeWarning" not in log


async def test_key_refused_by_atlas_is_logged_at_the_start(env: DoctorEnvironment) -> None:
    wrong = {"MONGODB_ATLAS_PRIVATE_API_KEY": "not-this-one"}
    with BotProcess(env.environ(wrong), Timings()) as bot:
        await wait_until(lambda: "cancel-restore doctor says what to check" in bot.log)
