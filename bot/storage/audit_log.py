"""Reads the audit events, and verifies that none was changed or removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import CLOSING, Recorded
from bot.storage.database import Database
from bot.storage.queries import requests as request_queries
from bot.storage.tables import audit_events
from bot.storage.unit_of_work import ChainHead

#: Events read by one query.
BATCH_SIZE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainBreak:
    """The first event of a request that was changed or is missing.

    Attributes:
        request: the request's id.
        number: the event's number.
        why: what is wrong with it, as a clause.
    """

    request: str
    number: int
    why: str

    def __str__(self) -> str:
        return f"event {self.number} of request {self.request} {self.why}"


def first_chain_break(
    request: str, chain: Iterable[Recorded], head: ChainHead | None
) -> ChainBreak | None:
    """Verify one request's chain.

    Args:
        request: the request's id.
        chain: its events, in order.
        head: the head that the request's row names; None when the request was pruned.
    """
    number, previous, last = 0, "", ""
    for line in chain:
        number += 1
        if line.number != number:
            return ChainBreak(request=request, number=number, why="is missing")
        if line.hash != line.expected_hash or line.previous != previous:
            return ChainBreak(request=request, number=number, why="was changed")
        previous, last = line.hash, line.event
    if head and number < head.number:
        return ChainBreak(request=request, number=number + 1, why="is missing")
    if head and head.hash != previous:
        return ChainBreak(request=request, number=number, why="was changed")
    if head is None and last not in FINAL_EVENTS:
        return ChainBreak(request=request, number=number + 1, why="is missing")
    return None


#: Events that may end a pruned chain; some messages are dropped after the request ended.
FINAL_EVENTS = frozenset(map(str, CLOSING)) | {"slack:post_dropped", "slack:card_moved"}


class AuditLog:
    """Reads the audit events in batches: there may be many."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(self, since: datetime | None = None, **equal: str) -> AsyncIterator[Recorded]:
        """Read events in the order in which they were written; raises `RecordUnreadable`.

        Args:
            since: skip older events.
            equal: required values of the columns `request`, `event`, `actor`, `team`.
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
            last = rows[-1].id if len(rows) == BATCH_SIZE else None

    async def _after(
        self, last: int, conditions: Sequence[ColumnElement[bool]]
    ) -> Sequence[Row[Any]]:
        later = request_queries.all_events([*conditions, audit_events.c.id > last]).limit(
            BATCH_SIZE
        )
        return await self._database.read_snapshot(lambda db: db.execute(later).all())

    async def count(self) -> int:
        """Count all events; raises `RecordUnreadable`."""
        return await self._database.read_snapshot(
            lambda db: int(db.execute(request_queries.count_events()).scalar_one())
        )

    async def verify(self) -> list[ChainBreak]:
        """Verify every chain on one snapshot, and return the breaks; raises `RecordUnreadable`."""
        return await self._database.read_snapshot(_chain_breaks)


def _chain_breaks(db: Connection) -> list[ChainBreak]:
    heads = {
        row.id: ChainHead(row.event_count, row.head_hash)
        for row in db.execute(request_queries.chain_heads())
    }
    found = [
        first_chain_break(request, map(_line, lines), heads.pop(request, None))
        for request, lines in groupby(
            _stream(db, request_queries.all_chains()), attrgetter("request")
        )
    ]
    found += [first_chain_break(request, [], head) for request, head in heads.items()]
    return [each for each in found if each]


def _stream(db: Connection, statement: Select[Any]) -> Iterator[Row[Any]]:
    yield from db.execute(statement, execution_options={"yield_per": BATCH_SIZE})


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
