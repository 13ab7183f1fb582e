"""Follows the audit log: each new event once, while other processes write."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from bot.cancellation.events import Recorded
from bot.storage.database import Database
from bot.storage.tables import audit_events, to_recorded
from bot.storage.verification import BATCH_SIZE


class AuditTail:
    """Reads events as they are committed.

    A cursor suffices: the lock of the chain's head gives each transaction its ids until its commit,
    so no lower id appears later.

    Args:
        database: the database.
        since: begin with the events since then; by default with the first new one.
        equal: required values of the columns `request`, `event`, `actor`.
    """

    def __init__(
        self, database: Database, since: datetime | None, equal: Mapping[str, str]
    ) -> None:
        self._database = database
        self._since = since.astimezone(UTC).isoformat(timespec="milliseconds") if since else None
        self._equal = equal
        self._last: int | None = 0 if since else None  # the id of the last event that was read

    async def poll(self) -> AsyncIterator[Recorded]:
        """Read what was committed since the last poll; raises `NotRead`."""
        if self._last is None:
            self._last = await self._newest()
        is_full = True
        while is_full:
            rows = await self._database.read(_page(self._last, self._since), background=True)
            for row_id, event in rows:
                self._last = row_id
                if all(getattr(event, name) == value for name, value in self._equal.items()):
                    yield event
            is_full = len(rows) == BATCH_SIZE

    async def _newest(self) -> int:
        newest = select(func.coalesce(func.max(audit_events.c.id), 0))
        return await self._database.read(lambda db: int(db.execute(newest).scalar_one()))


def _page(last: int, since: str | None) -> Callable[[Connection], list[tuple[int, Recorded]]]:
    page: Select[Any] = select(audit_events).where(audit_events.c.id > last)
    if since:
        page = page.where(audit_events.c.at >= since)
    page = page.order_by(audit_events.c.id).limit(BATCH_SIZE)
    return lambda db: [(row.id, to_recorded(row)) for row in db.execute(page)]
