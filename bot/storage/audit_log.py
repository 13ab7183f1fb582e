"""The record: reads audit events, and finds the first that was changed or is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from bot.cancellation.events import CLOSING, Recorded
from bot.storage.queries import requests as request_queries
from bot.storage.tables import audit_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row, Select
    from sqlalchemy.sql.elements import ColumnElement

    from bot.storage.database import Database


#: Events that are read at once.
AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the ledger says that a request's chain ends."""

    events: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainBreak:
    """The first place where a request's chain does not hold.

    Attributes:
        request: the request's id.
        number: which of its events.
        why: what is wrong with it, as a clause.
    """

    request: str
    number: int
    why: str

    def __str__(self) -> str:
        return f"event {self.number} of request {self.request} {self.why}"


def first_chain_break(
    request: str, chain: Iterable[Recorded], head: Head | None
) -> ChainBreak | None:
    """Check one request's chain, in order.

    Args:
        request: the request's id.
        chain: its events, by number.
        head: where the ledger says that it ends; None when the request was pruned.
    """
    number, previous, last = 0, "", ""
    for line in chain:
        number += 1
        if line.number != number:
            return ChainBreak(request=request, number=number, why="is missing")
        if line.hash != line.expected_hash or line.previous != previous:
            return ChainBreak(request=request, number=number, why="was changed")
        previous, last = line.hash, line.event
    if head and number < head.events:
        return ChainBreak(request=request, number=number + 1, why="is missing")
    if head and head.hash != previous:
        return ChainBreak(request=request, number=number, why="was changed")
    if head is None and last not in CLOSING_NAMES:
        return ChainBreak(request=request, number=number + 1, why="is missing")
    return None


#: What may end a chain for good; a message given up after the end is recorded behind it.
CLOSING_NAMES = frozenset(map(str, CLOSING)) | {"slack:post_dropped", "slack:card_moved"}


class AuditLog:
    """Reads of the audit events, in parts: the record may be long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(self, since: datetime | None = None, **equal: str) -> AsyncIterator[Recorded]:
        """Read the record in the order in which it was written; raises what `read_snapshot` raises.

        Args:
            since: leave out what is older.
            equal: columns (`request`, `event`, `actor`, `team`) that must have this value.
        """
        conditions = [audit_events.c[name] == value for name, value in equal.items()]
        if since:
            start = since.astimezone(UTC).isoformat(timespec="milliseconds")
            conditions.append(audit_events.c.at >= start)
        last: int | None = 0
        while last is not None:
            rows = await self._after(last, conditions)
            for row in rows:
                yield _line(row)
            last = rows[-1].id if len(rows) == AT_ONCE else None

    async def _after(
        self, last: int, conditions: Sequence[ColumnElement[bool]]
    ) -> Sequence[Row[Any]]:
        later = request_queries.all_events([*conditions, audit_events.c.id > last]).limit(AT_ONCE)
        return await self._database.read_snapshot(lambda db: db.execute(later).all())

    async def count(self) -> int:
        """Count the events of the whole record; raises what `read_snapshot` raises."""
        return await self._database.read_snapshot(
            lambda db: int(db.execute(request_queries.count_events()).scalar_one())
        )

    async def verify(self) -> list[ChainBreak]:
        """Check every chain; the list is empty when nothing was changed or removed.

        All of it is read as it was at one moment: a bot may be writing meanwhile. Raises what
        `read_snapshot` raises.
        """
        return await self._database.read_snapshot(_breaks)


def _breaks(db: Connection) -> list[ChainBreak]:
    heads = {
        row.id: Head(events=row.event_count, hash=row.head_hash)
        for row in db.execute(request_queries.heads())
    }
    found = [
        first_chain_break(request, map(_line, lines), heads.pop(request, None))
        for request, lines in groupby(
            _streamed(db, request_queries.chains()), attrgetter("request")
        )
    ]
    found += [first_chain_break(request, [], head) for request, head in heads.items()]
    return [each for each in found if each]


def _streamed(db: Connection, statement: Select[Any]) -> Iterator[Row[Any]]:
    yield from db.execute(statement, execution_options={"yield_per": AT_ONCE})


def _line(row: Row[Any]) -> Recorded:
    return Recorded(
        request=row.request,
        number=row.number,
        at=row.at,
        event=row.event,
        actor=row.actor,
        team=row.team,
        detail=row.detail,
        previous=row.previous,
        hash=row.hash,
    )
