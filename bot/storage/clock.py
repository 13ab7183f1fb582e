"""The ledger's time: the database server's, so that replicas need not agree about the time."""

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

#: Seconds that the server may take to tell the time; a slower answer says less than we know.
QUICK = 0.5

#: Seconds by which the server's clock may seem to move, by slow answers alone.
JUMP = 1.0

log = structlog.get_logger(__name__)


def wall_clock() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


def has_passed(moment: ColumnElement[Any], now: Any, far: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a moment, or a parameter that stands for one
    """Ask whether a moment is over.

    The ledger writes no moment as far ahead as `far`. One that lies there was written before the
    clock was set back, and nobody must wait until it comes again.
    """
    return or_(moment <= now, moment > far)


class DatabaseClock:
    """Tells the time of the database's machine, carried on by a clock that never jumps.

    SQLite's machine is this one, so its time is the wall clock; PostgreSQL is asked by `set`, and
    until then the wall clock stands in.

    Args:
        database: whose time it is.
        wall: this machine's time.
        monotonic: seconds that never jump.
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
        self._began: float | None = None  # the server's time when `monotonic` was 0

    def __call__(self) -> datetime:
        if self._began is None:
            return self._wall()
        return datetime.fromtimestamp(self._began + self._monotonic(), UTC)

    async def set(self) -> None:
        """Ask the server; raises `NotRead` when it does not answer."""
        if self._database.is_sqlite:
            return
        began, took = await self._database.read(self._ask, background=True)
        if self._began is None or took <= QUICK:
            self._take(began)

    def _ask(self, db: Connection) -> tuple[float, float]:
        """Return the server's time when `monotonic` was 0, and how long the answer took."""
        asked = self._monotonic()
        told: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
        heard = self._monotonic()
        return told.timestamp() - (asked + heard) / 2, heard - asked

    def _take(self, began: float) -> None:
        moved = 0.0 if self._began is None else began - self._began
        if abs(moved) > JUMP:
            log.warning("the clock of the database's machine was set", seconds=round(moved, 1))
        self._began = began
