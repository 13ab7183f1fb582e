"""The audit log is followed without gaps and duplicates, on both databases."""

import asyncio

import pytest

from bot.storage import audit_log
from bot.storage.audit_log import AuditTail
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import RINA, a_request


async def names(tail: AuditTail) -> list[str]:
    return [event.request async for event in tail.poll()]


async def test_only_new_events_are_read_and_each_once(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    tail = AuditTail(env.database, None, {})
    before = await names(tail)
    new = await env.store.create(a_request(), RINA)

    assert (before, await names(tail), await names(tail)) == ([], [new.id] * 2, [])


async def test_since_begins_with_what_exists(env: Stores) -> None:
    old = await env.store.create(a_request(), RINA)

    assert await names(AuditTail(env.database, NOON, {})) == [old.id] * 2
    assert await names(AuditTail(env.database, NOON, {"event": "request:created"})) == [old.id]


async def test_batches_are_read_to_their_end(env: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "BATCH_SIZE", 2)
    requests = [await env.store.create(a_request(), RINA) for _ in range(3)]

    found = await names(AuditTail(env.database, NOON, {"event": "request:created"}))

    assert found == [request.id for request in requests]


async def test_events_of_concurrent_writers_are_read_once_each(env: Stores) -> None:
    tail = AuditTail(env.database, NOON, {"event": "request:created"})
    writers = asyncio.gather(*(env.store.create(a_request(), RINA) for _ in range(30)))
    found: list[str] = []
    while not writers.done():
        found += await names(tail)
    found += await names(tail)

    assert sorted(found) == sorted(request.id for request in await writers)
