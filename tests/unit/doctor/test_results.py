"""Results of checks: time limits, the clock, and the report as lines and as JSON."""

import asyncio
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TextIO

import pytest
from pydantic import SecretStr

from bot.doctor.results import (
    REPORT,
    SHORT_REPORT,
    CheckResult,
    Level,
    compare_clock,
    is_ok,
    within,
    write_json,
    write_lines,
)
from bot.doctor.run import settings_results
from bot.log_config import redact
from tests.support.clock import NOON
from tests.support.terminal import Terminal

SUBJECT = CheckResult("it", "it")

RESULTS = [
    SUBJECT.ok("fine"),
    SUBJECT.warning("risky", "Review it."),
    SUBJECT.problem("bad", "Fix it."),
    SUBJECT.unchecked("unknown"),
]


STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("results", "last"),
    [
        (RESULTS, "1 problem, 1 warning."),
        (RESULTS[:1], "No problem, 0 warnings."),
        (RESULTS * 2, "2 problems, 2 warnings."),
    ],
)
def test_last_line_has_the_counts(results: list[CheckResult], last: str) -> None:
    out = io.StringIO()
    write_lines(results, out)

    assert out.getvalue().splitlines()[-1] == last


@pytest.mark.parametrize("more", [0, SHORT_REPORT])
def test_results_are_grouped_and_a_long_report_has_its_problems_at_the_end(more: int) -> None:
    out = io.StringIO()
    slack = [replace(result, group="Slack") for result in (RESULTS[0], RESULTS[2])]
    project = [replace(RESULTS[1], group="Project shop-prod")]
    write_lines([*slack, *project, *(more * [replace(RESULTS[0], group="HTTP")])], out)

    problem = ["  problem   it: bad", "            → Fix it."]
    assert out.getvalue().splitlines() == [
        "Slack",
        "  ok        it: fine",
        *([] if more else problem),
        "Project shop-prod",
        "  warning   it: risky",
        "            → Review it.",
        *(["HTTP", *(more * ["  ok        it: fine"]), "Problems", *problem] if more else []),
        "1 problem, 1 warning.",
    ]


@pytest.mark.parametrize("columns", ["20", "80"])
def test_names_of_settings_are_whole_on_a_narrow_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    name = "MONGODB_ATLAS_PUBLIC_API_KEY, MONGODB_ATLAS_PRIVATE_API_KEY"
    out = Terminal()
    write_lines([CheckResult("key", name).problem("Atlas refuses the key " * 5, "Copy it.")], out)

    assert all(each in out.getvalue() for each in name.split(", "))
    assert "…" not in out.getvalue()
    assert "\x1b[3" not in out.getvalue()
    lines = [STYLE.sub("", line) for line in out.getvalue().splitlines()]
    assert columns == "20" or max(map(len, lines)) <= int(columns)


def test_json_report_has_all_fields_and_counts() -> None:
    out = io.StringIO()
    write_json(RESULTS, out)
    report = json.loads(out.getvalue())

    assert report["ok"] is False
    assert report["counts"] == {"ok": 1, "warning": 1, "problem": 1, "unchecked": 1}
    assert report["checks"][2] == {
        "check": "it", "about": "it", "level": "problem", "says": "bad", "do": "Fix it.",
    }  # fmt: skip


def test_results_are_ok_unless_one_is_a_problem() -> None:
    assert not is_ok(RESULTS)
    assert is_ok(result for result in RESULTS if result.level is not Level.PROBLEM)
    assert not is_ok(settings_results(["SLACK_BOT_TOKEN is not set"]))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("write", [write_lines, write_json])
def test_secrets_and_control_characters_are_removed(
    write: Callable[[list[CheckResult], TextIO], None], stream: type[io.StringIO]
) -> None:
    out = stream()
    redact([SecretStr("a-private-key-of-atlas")])
    write([SUBJECT.ok("#ops\x1b[2J"), SUBJECT.problem("a-private-key-of-atlas", "Fix it.")], out)

    assert "\x1b[2J" not in out.getvalue()
    assert "\\u001b" not in out.getvalue()
    assert "a-private-key-of-atlas" not in out.getvalue()


def test_names_from_services_are_not_parsed_as_markup() -> None:
    out = Terminal()
    write_lines([SUBJECT.ok("[bold]x[/bold]")], out)

    assert "[bold]x[/bold]" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "level", "message"),
    [
        (0, Level.OK, "agrees"),
        (-10, Level.OK, "agrees"),
        (11, Level.WARNING, "11 s ahead"),
        (-11, Level.WARNING, "11 s behind"),
        (300, Level.WARNING, "300 s ahead"),
        (301, Level.PROBLEM, "301 s ahead"),
        (-86400, Level.PROBLEM, "86400 s behind"),
    ],
)
def test_clock_difference_over_10_seconds_is_a_warning_and_over_5_a_problem(
    seconds: int, level: Level, message: str
) -> None:
    found = compare_clock("Slack", NOON + timedelta(seconds=seconds), NOON)

    assert found.level is level
    assert message in found.message


async def failing() -> CheckResult:
    raise ZeroDivisionError("division by zero")


async def waiting() -> CheckResult:
    await asyncio.Event().wait()
    raise AssertionError


async def test_exception_in_a_check_is_a_problem() -> None:
    (found,) = await within(CheckResult("http", "HOST, PORT"), failing())

    assert (found.check, found.subject, found.level) == ("http", "HOST, PORT", Level.PROBLEM)
    assert found.message == "the check itself failed (ZeroDivisionError: division by zero)"
    assert found.hint == REPORT


async def test_timeout_of_a_check_is_a_problem() -> None:
    (found,) = await within(CheckResult("http", "HOST, PORT"), waiting(), 0.01)

    assert (found.level, found.message) == (Level.PROBLEM, "there was no answer in time")
    assert found.hint
