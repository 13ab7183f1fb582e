"""Results of checks: time limits, and the clock."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.doctor.results import REPORT, CheckResult, Level, Subject, compare_clock, within

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "level", "message"),
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
def test_clock_difference_over_1_minute_is_a_warning_and_over_5_a_problem(
    seconds: int, level: Level, message: str
) -> None:
    found = compare_clock("Slack", NOON + timedelta(seconds=seconds), NOON)

    assert found.level is level
    assert message in found.message


def test_missing_date_leaves_the_clock_unchecked() -> None:
    assert compare_clock("Atlas", NOON, None).level is Level.UNCHECKED
    assert compare_clock("Atlas", None, NOON).level is Level.UNCHECKED


async def failing() -> CheckResult:
    raise ZeroDivisionError("division by zero")


async def waiting() -> CheckResult:
    await asyncio.Event().wait()
    raise AssertionError


async def test_exception_in_a_check_is_a_problem() -> None:
    (found,) = await within(Subject("http", "HOST, PORT"), failing())

    assert (found.check, found.subject, found.level) == ("http", "HOST, PORT", Level.PROBLEM)
    assert found.message == "the check itself failed (ZeroDivisionError: division by zero)"
    assert found.hint == REPORT


async def test_timeout_of_a_check_is_a_problem() -> None:
    (found,) = await within(Subject("http", "HOST, PORT"), waiting(), 0.01)

    assert (found.level, found.message) == (Level.PROBLEM, "there was no answer in time")
    assert found.hint


async def test_timeout_of_grouped_checks_is_one_problem() -> None:
    async def several() -> list[CheckResult]:
        return [await waiting()]

    found = await within(Subject("atlas", "MONGODB_ATLAS_BASE_URL"), several(), 0.01)

    assert [(f.check, f.level) for f in found] == [("atlas", Level.PROBLEM)]
