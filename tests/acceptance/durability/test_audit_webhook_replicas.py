"""Two bots on one PostgreSQL send the audit log; one is killed, all events arrive in order."""

import asyncio

import pytest

from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from tests.acceptance.durability.environment import opened
from tests.support.postgres import PostgresServer
from tests.support.receiver import SECRET, Receiver
from tests.support.timings import DATABASE_TIMEOUT


async def test_killed_replica_leaves_no_event_unsent(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    async with Receiver().open() as receiver, opened(url) as env:
        hook = {"BOT_AUDIT_WEBHOOK_URL": receiver.url, "BOT_AUDIT_WEBHOOK_SECRET": SECRET}
        environment = env.environment()
        monkeypatch.setattr(type(env), "environment", lambda _self: environment | hook)
        first, second = await asyncio.gather(env.start(), env.start())
        await env.request_new_job("rina")
        await receiver.until_taken(3)
        first.kill()
        await env.request_new_job("rina")
        await env.wait_for_outcomes()
        second.kill()
        await env.start()
        database = Database(url, timeout=DATABASE_TIMEOUT)
        events = [(e.request, e.number, e.hash) async for e in AuditLog(database).events()]
        await database.close()
        await receiver.until_taken(len(events), 40)
        requests = {request for request, _, _ in events}

    assert {event["id"] for event in receiver.taken} >= {digest for _, _, digest in events}
    for request in requests:
        numbers = list(dict.fromkeys(receiver.numbers(request)))
        assert numbers == [number for of, number, _ in events if of == request]
