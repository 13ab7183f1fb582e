"""Clocks, and the formats of times in responses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

#: Returns the current time; always timezone-aware, in UTC.
Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def instant(moment: datetime) -> str:
    """Return `moment` in Atlas's format: ISO 8601, whole seconds, a Z at the end."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
