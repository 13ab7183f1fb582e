"""Follows the audit log: each new event once, while other processes write."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from bot.cancellation.events import Recorded
from bot.storage.database import Database
from bot.storage.tables import audit_events, to_recorded
from bot.storage.verification import BATCH_SIZE

#: Polls after which no lower id can appear any more. PostgreSQL gives ids before the commits, whose
#: order may differ; a transaction lives for some seconds, and a poll begins each second.
POLLS_UNTIL_SETTLED = 60

#: Ids that are remembered at most.
MAX_REMEMBERED = 10 * BATCH_SIZE


class AuditTail:
    """Reads events as they are committed, in the order of their ids within one poll.

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
        self._floor: int | None = None  # no event up to this id is still to come
        self._seen: dict[int, int] = {}  # in which poll each id above the floor was read
        self._polls = 0

    async def poll(self) -> AsyncIterator[Recorded]:
        """Read what was committed since the last poll; raises `NotRead`."""
        if self._floor is None:
            await self._begin()
        last: int | None = self._floor or 0
        while last is not None:
            rows = await self._database.read(_page(last, self._since), background=True)
            for row_id, event in rows:
                if row_id in self._seen:
                    continue
                self._seen[row_id] = self._polls
                if all(getattr(event, name) == value for name, value in self._equal.items()):
                    yield event
            last = rows[-1][0] if len(rows) == BATCH_SIZE else None
            self._settle()
        self._polls += 1  # one that failed settles nothing

    async def _begin(self) -> None:
        """Pass over the events that exist, unless they are wanted."""
        if self._since:
            self._floor = 0
            return
        newest = select(func.coalesce(func.max(audit_events.c.id), 0))
        floor = await self._database.read(lambda db: int(db.execute(newest).scalar_one()))
        floor = max(0, floor - BATCH_SIZE)  # transactions that are open now may commit below it
        rows = await self._database.read(_page(floor, None))
        self._seen = {row_id: 0 for row_id, _event in rows}
        self._floor = floor

    def _settle(self) -> None:
        """Forget the ids below which nothing is still to come."""
        old = [row_id for row_id, poll in self._seen.items() if self._is_settled(poll)]
        old += sorted(self._seen)[:-MAX_REMEMBERED]
        if old:
            self._floor = max(old)
            self._seen = {k: poll for k, poll in self._seen.items() if k > self._floor}

    def _is_settled(self, poll: int) -> bool:
        return self._polls - poll > POLLS_UNTIL_SETTLED


def _page(last: int, since: str | None) -> Callable[[Connection], list[tuple[int, Recorded]]]:
    page: Select[Any] = select(audit_events).where(audit_events.c.id > last)
    if since:
        page = page.where(audit_events.c.at >= since)
    page = page.order_by(audit_events.c.id).limit(BATCH_SIZE)
    return lambda db: [(row.id, to_recorded(row)) for row in db.execute(page)]
