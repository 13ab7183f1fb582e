"""The times that `audit` takes."""

from datetime import UTC, datetime

import pytest

from bot.cli.audit import parse_time


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("2026-12-02", datetime(2026, 12, 2, tzinfo=UTC)),
        ("2026-12-02T22:00Z", datetime(2026, 12, 2, 22, tzinfo=UTC)),
        ("2026-12-02T22:00", datetime(2026, 12, 2, 22, tzinfo=UTC)),
        ("2026-12-02T22:00+02:00", datetime(2026, 12, 2, 20, tzinfo=UTC)),
    ],
)
def test_time_without_a_zone_is_utc(text: str, moment: datetime | None) -> None:
    assert parse_time(text) == moment
