"""Clocks, and the formats of times in responses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: Returns the current time; always timezone-aware, in UTC.
Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


class ManualClock:
    """A clock that tests advance."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def instant(moment: datetime) -> str:
    """Return `moment` in Atlas's format: ISO 8601, whole seconds, a Z at the end."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
