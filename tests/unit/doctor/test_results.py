"""Results of checks: time limits, and the report as lines and as JSON."""

import asyncio
import io
import json

import pytest
from pydantic import SecretStr

from bot.doctor.results import (
    REPORT,
    Level,
    Result,
    is_ok,
    summary,
    within,
    write_json,
    write_lines,
)
from bot.log_config import redact

IT = Result("it", "it")
OK, WARNING = IT.ok("Fine."), IT.warning("Risky.", "Review it.")
PROBLEM, UNCHECKED = IT.problem("Bad.", "Fix it."), IT.unchecked("Unknown.")


@pytest.mark.parametrize(
    ("results", "line"),
    [
        ([OK], "No problem found."),
        ([OK, WARNING], "No problem found, 1 warning."),
        ([OK, UNCHECKED, UNCHECKED], "No problem found, 2 checks could not be made."),
        (
            [PROBLEM, PROBLEM, WARNING, UNCHECKED],
            "2 problems, 1 warning, 1 check could not be made.",
        ),
    ],
)
def test_last_line_counts_and_is_no_all_clear_over_what_was_not_checked(
    results: list[Result], line: str
) -> None:
    out = io.StringIO()
    write_lines(results, out)

    assert out.getvalue().splitlines()[-1] == line == summary(results)


@pytest.mark.parametrize(
    ("results", "well"), [([OK, WARNING, UNCHECKED], True), ([OK, PROBLEM], False)]
)
def test_only_a_problem_makes_the_report_fail(results: list[Result], *, well: bool) -> None:
    assert is_ok(results) is well


def test_fix_is_below_its_result_and_is_not_cut() -> None:
    out = io.StringIO()
    fix = "Edit it in Atlas. " * 20
    write_lines([OK, IT.problem("[red]Bad[/red].", fix.strip())], out)

    assert out.getvalue().splitlines()[:3] == [
        "ok         it: Fine.",
        "problem    it: [red]Bad[/red].",
        f"           → {fix.strip()}",
    ]


def test_json_report_is_one_line_with_all_fields_and_counts() -> None:
    out = io.StringIO()
    write_json([OK, PROBLEM], out)
    (line,) = out.getvalue().splitlines()
    report = json.loads(line)

    assert (report["ok"], report["summary"]) == (False, "1 problem.")
    assert report["counts"] == {"ok": 1, "warning": 0, "problem": 1, "unchecked": 0}
    assert report["checks"][1] == {
        "check": "it",
        "subject": "it",
        "level": "problem",
        "sentence": "Bad.",
        "fix": "Fix it.",
    }


@pytest.mark.parametrize("write", [write_lines, write_json])
def test_report_has_neither_secrets_nor_control_characters(write: object) -> None:
    redact([SecretStr("sesame-password")])
    out = io.StringIO()
    assert callable(write)
    write([IT.problem("It is sesame-password\x1b[2J.", "Change sesame-password.")], out)

    assert "sesame-password" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


async def test_check_that_hangs_is_a_problem_at_its_time_limit() -> None:
    (result,) = await within(IT, 0.01, asyncio.sleep(60, OK))

    assert (result.level, result.sentence) == (Level.PROBLEM, "There was no answer in time.")


async def test_check_that_fails_itself_is_a_problem_to_report() -> None:
    async def fail() -> Result:
        raise KeyError("user")

    (result,) = await within(IT, 5, fail())

    assert (result.level, result.fix) == (Level.PROBLEM, REPORT)
    assert "KeyError" in result.sentence
