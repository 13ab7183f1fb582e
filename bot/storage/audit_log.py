"""Reads the audit events, and whether one was changed or removed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from bot.cancellation.events import Recorded
from bot.storage import queries
from bot.storage.database import Database
from bot.storage.tables import audit_events, to_recorded
from bot.storage.verification import BATCH_SIZE, AuditBreak, find_breaks

MIN_ID = -(2**63)  #: another program may have stored ids below 1


@dataclass(frozen=True)
class AuditLog:
    """Reads the audit events in batches: there may be many."""

    database: Database

    async def events(self, since: datetime | None = None, **equal: str) -> AsyncIterator[Recorded]:
        """Read events in the order in which they were written; raises `DatabaseUnreadable`.

        `equal` are required values of the columns `request`, `event`, `actor`, `team`.
        """
        is_equal = [audit_events.c[name] == value for name, value in equal.items()]
        page = queries.RECORDED.where(*is_equal).order_by(audit_events.c.id).limit(BATCH_SIZE)
        if since:
            start = since.astimezone(UTC).isoformat(timespec="milliseconds")
            page = page.where(audit_events.c.at >= start)
        last, is_full = MIN_ID, True
        while is_full:
            rows = await self.database.read_snapshot(partial(_after, last, page))
            for row in rows:
                last = row.id
                yield to_recorded(row)
            is_full = len(rows) == BATCH_SIZE

    async def count(self) -> int:
        """Count all events; raises `DatabaseUnreadable`."""
        count = select(func.count()).select_from(audit_events)
        return await self.database.read_snapshot(lambda db: int(db.execute(count).scalar_one()))

    async def verify(self) -> list[AuditBreak]:
        """Verify events and rows on one snapshot; raises `DatabaseUnreadable`."""
        return await self.database.read_snapshot(find_breaks)


def _after(last: int, page: Select[Any], db: Connection) -> Sequence[Row[Any]]:
    return db.execute(page.where(audit_events.c.id > last)).all()
