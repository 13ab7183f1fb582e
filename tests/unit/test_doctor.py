"""What doctor makes of what it reads: clocks, scopes, approvers, rate limits, and its report."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest
from pydantic import SecretStr

from bot.atlas import CallRecord
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import Policy
from bot.doctor import CheckResult, Level, is_ok, settings_results, write_json, write_lines
from bot.doctor.atlas import check_rate_limit
from bot.doctor.people import channels, check_approvers, groups, users
from bot.doctor.report import line
from bot.doctor.results import REPORT, Subject, all_within, compare_clock, http_date, within
from bot.doctor.slack import authenticate, check_app_token, check_scopes
from bot.log_config import redact
from bot.settings import load_settings
from bot.slack.manifest import SCOPES
from tests.unit.slack.fake_slack import FakeSlack

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SUBJECT = Subject("it", "it")


# Clocks


@pytest.mark.parametrize(
    ("seconds", "level", "says"),
    [
        (0, Level.OK, "agrees"),
        (-60, Level.OK, "agrees"),
        (61, Level.WARNING, "61 s ahead"),
        (-61, Level.WARNING, "61 s behind"),
        (300, Level.WARNING, "300 s ahead"),
        (301, Level.PROBLEM, "301 s ahead"),
        (-86400, Level.PROBLEM, "86400 s behind"),
    ],
)
def test_a_clock_may_be_a_minute_off_and_never_five(seconds: int, level: Level, says: str) -> None:
    found = compare_clock("Slack", NOON + timedelta(seconds=seconds), NOON)

    assert found.level is level
    assert says in found.message


def test_a_service_that_tells_no_time_judges_no_clock() -> None:
    assert compare_clock("Atlas", NOON, None).level is Level.UNCHECKED
    assert compare_clock("Atlas", None, NOON).level is Level.UNCHECKED


@pytest.mark.parametrize(
    ("text", "moment"),
    [("Wed, 25 Nov 2026 12:00:00 GMT", NOON), ("noon", None), ("", None)],
)
def test_a_date_is_read_as_http_writes_it(text: str, moment: datetime | None) -> None:
    assert http_date(text) == moment


# Scopes

ALL = frozenset(SCOPES)


def levels(findings: list[CheckResult]) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in findings}


def test_all_scopes_and_no_more_are_well() -> None:
    assert [found.level for found in check_scopes(ALL, groups=True)] == [Level.OK]


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_each_missing_scope_is_named_with_its_reason(scope: str) -> None:
    (found,) = check_scopes(ALL - {scope}, groups=True)

    assert found.level is (Level.WARNING if scope == "chat:write.public" else Level.PROBLEM)
    assert found.subject == f"scope {scope}"
    assert SCOPES[scope] in found.message


def test_reading_groups_is_needed_only_where_the_settings_name_one() -> None:
    found = check_scopes(ALL - {"usergroups:read"}, groups=False)

    assert levels(found) == {"scope usergroups:read": Level.WARNING}


def test_scopes_that_nothing_needs_are_told() -> None:
    (found,) = check_scopes(ALL | {"files:read", "channels:history"}, groups=True)

    assert found.level is Level.WARNING
    assert "channels:history, files:read" in found.message


def test_scopes_that_slack_does_not_tell_are_not_checked() -> None:
    assert [found.level for found in check_scopes(None, groups=True)] == [Level.UNCHECKED]


# Tokens


def introducing(**answer: object) -> FakeSlack:
    slack = FakeSlack()
    known = {"team_id": "T0HOME", "user_id": "U0BOT", "user": "bot", "team": "Shop"}
    slack.says("auth.test", {**known, **answer})
    slack.says("bots.info", {"bot": {"app_id": "A0OURS"}})
    return slack


async def test_the_bots_app_and_scopes_are_read() -> None:
    slack = introducing(bot_id="B0BOT")
    slack.scripts["auth.test"].headers["X-OAuth-Scopes"] = "commands, chat:write"
    us = (await authenticate(slack)).bot

    assert us
    assert us.app == "A0OURS"
    assert us.scopes == frozenset({"commands", "chat:write"})


async def test_a_token_of_a_person_is_no_bots() -> None:
    introduction = await authenticate(introducing())

    assert introduction.bot is None
    assert introduction.result.level is Level.PROBLEM
    assert "no bot's token" in introduction.result.message


async def test_an_app_token_of_another_app_is_a_problem() -> None:
    us = (await authenticate(introducing(bot_id="B0BOT"))).bot
    slack = FakeSlack()
    slack.says("apps.connections.open", {"url": "wss://wss.slack.com/link"})
    slack.says("auth.test", {"app_id": "A0OTHER"})
    found = await check_app_token(slack, "xapp-1", us)

    assert found.level is Level.PROBLEM
    assert "another app (A0OTHER)" in found.message


async def test_a_socket_mode_that_cannot_be_reached_is_a_problem() -> None:
    slack = FakeSlack()
    slack.says("apps.connections.open", {"url": "ws://127.0.0.1:9/link"})
    slack.says("auth.test", {})
    found = await check_app_token(slack, "xapp-1", None)

    assert found.level is Level.PROBLEM
    assert "127.0.0.1, port 9" in found.message


async def test_behind_a_proxy_socket_mode_is_not_tried() -> None:
    slack = FakeSlack()
    slack.proxy = "http://proxy.example.com:3128"
    slack.says("apps.connections.open", {"url": "ws://127.0.0.1:9/link"})
    slack.says("auth.test", {})
    found = await check_app_token(slack, "xapp-1", None)

    assert found.level is Level.OK
    assert "not tried" in found.message


# Approvers


def ids(text: str) -> frozenset[str]:
    return frozenset(text.split())


@pytest.mark.parametrize(
    ("wanted", "self_approval", "able", "askers", "level"),
    [
        (1, False, "", None, Level.PROBLEM),
        (2, True, "U1", None, Level.PROBLEM),
        (1, False, "U1 U2", None, Level.OK),
        (1, True, "U1", ids("U1"), Level.OK),
        (1, False, "U1", ids("U2"), Level.OK),
        (1, False, "U1", ids("U1"), Level.PROBLEM),
        (1, False, "U1", ids("U1 U2"), Level.WARNING),
        (1, False, "U1", None, Level.WARNING),
        (2, False, "U1 U2", ids("U1"), Level.PROBLEM),
        (2, False, "U1 U2 U3", ids("U1"), Level.OK),
    ],
)
def test_approvers_are_enough_when_enough_are_left_beside_who_asks(
    wanted: int, self_approval: bool, able: str, askers: frozenset[str] | None, level: Level
) -> None:
    policy = Policy(approvals=wanted, self_approval=self_approval)

    assert check_approvers(SUBJECT, policy, ids(able), askers).level is level


# The rate limit


@pytest.mark.parametrize(
    ("left", "level"), [(1200, Level.OK), (240, Level.OK), (239, Level.WARNING), (0, Level.WARNING)]
)
def test_a_fifth_of_the_calls_about_backups_should_be_left(left: int, level: Level) -> None:
    answered = CallRecord("GET", 200, 0.1, rate_limit_remaining=left, rate_limit=1200)

    assert check_rate_limit(SUBJECT, answered).level is level


@pytest.mark.parametrize("answered", [None, CallRecord("GET", 200, 0.1)])
def test_a_limit_that_atlas_does_not_tell_is_not_checked(answered: CallRecord | None) -> None:
    assert check_rate_limit(SUBJECT, answered).level is Level.UNCHECKED


# What the settings name

ENVIRON = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "public",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "private",
    "MONGODB_ATLAS_PROJECT_ID": "5b6212af90dc76637950a2c6",
}


def test_each_id_is_looked_up_once_under_every_setting_that_names_it(tmp_path: Path) -> None:
    given = {
        "BOT_CHANNELS": "C1,C2",
        "BOT_WATCH_CHANNEL": "C1",
        "BOT_REQUESTERS": "U1,S1",
        "BOT_APPROVERS": "U1,U2,S1",
    }
    settings = load_settings(ENVIRON | given, tmp_path)

    assert [each.label for each in channels(settings)] == [
        "BOT_CHANNELS, BOT_WATCH_CHANNEL: C1",
        "BOT_CHANNELS: C2",
    ]
    assert [each.label for each in users(settings)] == [
        "BOT_REQUESTERS, BOT_APPROVERS: U1",
        "BOT_APPROVERS: U2",
    ]
    assert [each.label for each in groups(settings)] == ["BOT_REQUESTERS, BOT_APPROVERS: S1"]


def test_where_cards_go_elsewhere_the_commands_channel_needs_no_posting(tmp_path: Path) -> None:
    given = {"BOT_CHANNELS": "C1", "BOT_AUDIT_CHANNEL": "C2"}
    found = channels(load_settings(ENVIRON | given, tmp_path))

    assert {each.id: each.needed for each in found} == {"C1": False, "C2": True}


def test_with_a_projects_file_each_project_names_its_own() -> None:
    environ = ENVIRON | {"SHOP_PUBLIC_KEY": "public", "SHOP_PRIVATE_KEY": "private"}
    settings = load_settings(environ | {"BOT_PROJECTS_FILE": "projects.example.toml"}, Path("docs"))

    assert [each.label for each in channels(settings)] == [
        "shop-prod, channels: C0OPS00001",
        "shop-prod, audit_channel: C0AUDIT001",
    ]
    assert [each.label for each in groups(settings)] == [
        "shop-prod, requesters: S0ONCALL1",
        "shop-prod, approvers: S0APPROVE1",
    ]


def test_everybody_is_nobody_by_name(tmp_path: Path) -> None:
    settings = load_settings(ENVIRON, tmp_path)

    assert settings.projects[0].policy.requesters == EVERYONE != People()
    assert (users(settings), groups(settings)) == ([], [])


# The report

FINDINGS = [
    SUBJECT.ok("well"),
    SUBJECT.warning("so so", "Look."),
    SUBJECT.problem("bad", "Mend it."),
    SUBJECT.unchecked("who knows"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_finding_is_one_line_with_what_to_do() -> None:
    assert [line(finding) for finding in FINDINGS] == [
        "ok        it: well",
        "warning   it: so so → Look.",
        "problem   it: bad → Mend it.",
        "unchecked it: who knows",
    ]


@pytest.mark.parametrize(
    ("findings", "last"),
    [
        (FINDINGS, "1 problem, 1 warning."),
        (FINDINGS[:1], "No problem, 0 warnings."),
        (FINDINGS * 2, "2 problems, 2 warnings."),
    ],
)
def test_the_last_line_counts(findings: list[CheckResult], last: str) -> None:
    out = io.StringIO()
    write_lines(findings, out)

    assert out.getvalue().splitlines()[-1] == last
    assert len(out.getvalue().splitlines()) == len(findings) + 1


def test_what_one_problem_hides_is_one_line_for_people_and_each_by_itself_for_programs() -> None:
    why = "the check of the key failed"
    hidden = [Subject(name, name).unchecked(why) for name in ("project", "clusters")]
    findings = [
        Subject("key", "the key").problem("Atlas refuses it", "Copy it."),
        *hidden,
        Subject("clock", "clock").unchecked("nobody told the time"),
    ]
    lines, report = io.StringIO(), io.StringIO()
    write_lines(findings, lines)
    write_json(findings, report)

    assert lines.getvalue().splitlines() == [
        "problem   the key: Atlas refuses it → Copy it.",
        f"unchecked project; clusters: {why}",
        "unchecked clock: nobody told the time",
        "1 problem, 0 warnings.",
    ]
    assert len(json.loads(report.getvalue())["checks"]) == 4


def test_on_a_terminal_it_is_a_table() -> None:
    out = Terminal()
    write_lines(FINDINGS, out)

    assert "How it stands" in out.getvalue()
    assert all(finding.message in out.getvalue() for finding in FINDINGS)


def test_programs_get_json() -> None:
    out = io.StringIO()
    write_json(FINDINGS, out)
    report = json.loads(out.getvalue())

    assert report["ok"] is False
    assert report["counts"] == {"ok": 1, "warning": 1, "problem": 1, "unchecked": 1}
    assert report["checks"][2] == {
        "check": "it", "about": "it", "level": "problem", "says": "bad", "do": "Mend it.",
    }  # fmt: skip


def test_it_is_well_unless_there_is_a_problem() -> None:
    assert not is_ok(FINDINGS)
    assert is_ok(finding for finding in FINDINGS if finding.level is not Level.PROBLEM)
    assert not is_ok(settings_results(["SLACK_BOT_TOKEN is not set"]))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("write", [write_lines, write_json])
def test_neither_secrets_nor_control_characters_are_written(
    write: Callable[[list[CheckResult], TextIO], None], stream: type[io.StringIO]
) -> None:
    out = stream()
    redact([SecretStr("a-private-key-of-atlas")])
    write([SUBJECT.ok("#ops\x1b[2J"), SUBJECT.problem("a-private-key-of-atlas", "Look.")], out)

    assert "\x1b[2J" not in out.getvalue()
    assert "\\u001b" not in out.getvalue()
    assert "a-private-key-of-atlas" not in out.getvalue()


def test_names_from_outside_are_no_markup() -> None:
    out = Terminal()
    write_lines([SUBJECT.ok("[bold]x[/bold]")], out)

    assert "[bold]x[/bold]" in out.getvalue()


async def failing() -> CheckResult:
    raise ZeroDivisionError("division by zero")


async def waiting() -> CheckResult:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_check_that_fails_is_a_finding() -> None:
    found = await within(Subject("http", "HOST, PORT"), failing())

    assert (found.check, found.subject, found.level) == ("http", "HOST, PORT", Level.PROBLEM)
    assert found.message == "the check itself failed (ZeroDivisionError: division by zero)"
    assert found.hint == REPORT


async def test_a_check_that_does_not_end_is_a_finding() -> None:
    found = await within(Subject("http", "HOST, PORT"), waiting(), 0.01)

    assert (found.level, found.message) == (Level.PROBLEM, "there was no answer in time")
    assert found.hint


async def test_checks_that_belong_together_end_together() -> None:
    async def several() -> list[CheckResult]:
        return [await waiting()]

    found = await all_within(Subject("atlas", "MONGODB_ATLAS_BASE_URL"), several(), 0.01)

    assert [(f.check, f.level) for f in found] == [("atlas", Level.PROBLEM)]
