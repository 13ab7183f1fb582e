"""The database server's time, so that the clocks of replicas need not agree."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import func, or_, select

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.sql.elements import ColumnElement

    from bot.storage.database import Database

#: Seconds after which an answer of the server is too imprecise to correct the clock.
MAX_ROUND_TRIP = 0.5

#: Seconds of deviation that slow answers explain; more is logged.
MAX_DRIFT = 1.0

log = structlog.get_logger(__name__)


def wall_clock() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def has_passed(moment: ColumnElement[Any], now: Any, far: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a moment, or a parameter that stands for one
    """Return a condition: `moment` has passed, or was written before the clock was set back.

    No moment is ever written as far ahead as `far`, so a later one comes from before the change.
    """
    return or_(moment <= now, moment > far)


class DatabaseClock:
    """The time of the database's machine, continued by a monotonic clock between two reads.

    For SQLite this is the wall clock. PostgreSQL is asked by `set`; before the first answer, the
    clock returns the wall clock's time.

    Args:
        database: the database.
        wall: this machine's time.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        wall: Callable[[], datetime] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._wall = wall
        self._monotonic = monotonic
        self._offset: float | None = None  # the server's time when `monotonic` was 0

    def __call__(self) -> datetime:
        if self._offset is None:
            return self._wall()
        return datetime.fromtimestamp(self._offset + self._monotonic(), UTC)

    async def set(self) -> None:
        """Read the server's time; raises `NotRead` when it does not answer."""
        if self._database.is_sqlite:
            return
        offset, round_trip = await self._database.read(self._measure, background=True)
        if self._offset is None or round_trip <= MAX_ROUND_TRIP:
            self._correct(offset)

    def _measure(self, db: Connection) -> tuple[float, float]:
        """Return the server's time when `monotonic` was 0, and the round trip of the answer."""
        sent = self._monotonic()
        now: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
        received = self._monotonic()
        return now.timestamp() - (sent + received) / 2, received - sent

    def _correct(self, offset: float) -> None:
        drift = 0.0 if self._offset is None else offset - self._offset
        if abs(drift) > MAX_DRIFT:
            log.warning("the clock of the database's machine was set", seconds=round(drift, 1))
        self._offset = offset
