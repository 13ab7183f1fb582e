"""Checks of Atlas: unreadable items, and the end of a secret."""

from datetime import datetime, timedelta

import pytest

from bot.atlas import KeyAccess
from bot.doctor.atlas import complete
from bot.doctor.key import check_expiry
from bot.doctor.results import Level, Subject
from tests.support.clock import NOON

SUBJECT = Subject("it", "it")


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
