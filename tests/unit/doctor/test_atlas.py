"""Checks of Atlas: the rate limit, unreadable items, and the end of a secret."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.atlas import CallRecord, KeyAccess
from bot.doctor.atlas import complete
from bot.doctor.key import check_expiry, check_rate_limit
from bot.doctor.results import CheckResult, Level
from tests.support.clock import NOON

SUBJECT = CheckResult("it", "it")
PATH = "/groups/1/clusters/prod/backup/restoreJobs"
ANSWER = CallRecord("GET", 200, 0.1, rate_limit_remaining=0, rate_limit=1200, path=PATH)


@pytest.mark.parametrize(
    ("left", "level"),
    [(240, Level.OK), (239, Level.WARNING), (0, Level.WARNING), (None, Level.UNCHECKED)],
)
def test_less_than_a_fifth_of_the_rate_limit_is_a_warning(left: int | None, level: Level) -> None:
    assert check_rate_limit(SUBJECT, [replace(ANSWER, rate_limit_remaining=left)]).level is level


def test_newest_answer_about_backups_has_the_rate_limit() -> None:
    others = ({"path": "/groups/1"}, {"status": None}, {"status": 401, "challenge": True})
    newest = replace(ANSWER, rate_limit_remaining=7)
    calls = [*(replace(ANSWER, **other) for other in others), newest, ANSWER]

    assert check_rate_limit(SUBJECT, calls).message == "7 of 1200 calls are left"


def test_unreadable_items_are_a_warning() -> None:
    assert complete(SUBJECT, "3 can be read", "").level is Level.OK
    found = complete(SUBJECT, "3 can be read", "1 cluster could not be read")
    assert (found.level, found.message) == (
        Level.WARNING,
        "3 can be read, but 1 cluster could not be read",
    )


@pytest.mark.parametrize(
    ("expires_at", "level", "message"),
    [
        (NOON + timedelta(days=29, hours=1), Level.OK, "it expires 2026-12-24, in 29 days"),
        (NOON + timedelta(days=1), Level.WARNING, "it expires 2026-11-26, in 1 day"),
        (None, Level.UNCHECKED, "Atlas does not return it"),
    ],
)
def test_secret_that_expires_within_a_fortnight_is_a_warning(
    expires_at: datetime | None, level: Level, message: str
) -> None:
    found = check_expiry(
        SUBJECT, KeyAccess(secret_expires_at=expires_at), "Atlas does not return it", NOON
    )

    assert (found.level, found.message) == (level, message)
