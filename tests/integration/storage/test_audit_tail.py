"""The audit log is followed without gaps and doubles, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from bot.cancellation.events import Event, EventName, chain
from bot.storage import audit_tail
from bot.storage.audit_tail import AuditTail
from bot.storage.tables import audit_events
from tests.support.domain import NOON, RINA, a_request

if TYPE_CHECKING:
    from bot.storage.database import Database
    from bot.storage.request_store import RequestStore


async def names(tail: AuditTail) -> list[str]:
    return [event.request async for event in tail.poll()]


async def commit(database: Database, request: str, row_id: int) -> None:
    at = NOON.isoformat(timespec="milliseconds")
    event = chain(Event(name=EventName.CHECK_FAILED, request=request, at=at), 1, "")
    row = insert(audit_events).values(id=row_id, **asdict(event))
    await database.write(lambda db: db.execute(row))


async def test_only_new_events_are_read_and_each_once(
    database: Database, ledger: RequestStore
) -> None:
    await ledger.create(a_request(), RINA)
    tail = AuditTail(database, None, {})
    before = await names(tail)
    new = await ledger.create(a_request(), RINA)

    assert (before, await names(tail), await names(tail)) == ([], [new.id] * 2, [])


async def test_since_begins_with_what_exists(database: Database, ledger: RequestStore) -> None:
    old = await ledger.create(a_request(), RINA)

    assert await names(AuditTail(database, NOON, {})) == [old.id] * 2
    assert await names(AuditTail(database, NOON, {"event": "request:created"})) == [old.id]


@pytest.mark.parametrize("since", [None, NOON])
async def test_event_that_is_committed_late_is_read_though_its_id_is_lower(
    database: Database, monkeypatch: pytest.MonkeyPatch, since: None
) -> None:
    monkeypatch.setattr(audit_tail, "BATCH_SIZE", 2)
    await commit(database, "first", 100)
    tail = AuditTail(database, since, {})
    await names(tail)
    for n, row_id in enumerate((105, 104, 103, 101)):
        await commit(database, f"n{n}", row_id)

        assert await names(tail) == [f"n{n}"]


async def test_ids_are_forgotten_once_nothing_can_come_below_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_tail, "POLLS_UNTIL_SETTLED", 3)
    tail = AuditTail(database, NOON, {})
    await commit(database, "one", 1)
    for _ in range(5):
        await names(tail)

    assert (tail._floor, tail._seen) == (1, {})


async def test_concurrent_writers_lose_and_double_nothing(
    database: Database, ledger: RequestStore
) -> None:
    tail = AuditTail(database, NOON, {"event": "request:created"})
    writers = asyncio.gather(*(ledger.create(a_request(), RINA) for _ in range(30)))
    found: list[str] = []
    while not writers.done():
        found += await names(tail)
    found += await names(tail)

    assert sorted(found) == sorted(request.id for request in await writers)
