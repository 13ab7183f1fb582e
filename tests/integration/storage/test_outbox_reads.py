"""What the outbox reads: in few statements, and right while another process writes."""

import asyncio
from typing import Any

from sqlalchemy import event

from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Ending, State
from bot.storage.database import Database
from bot.storage.migrate import ensure_current
from bot.storage.outbox_store import OF_A_CHANNEL, OutboxStore
from tests.support.core import CoreEnvironment
from tests.support.domain import POLICY, START, job_ref, restore_job
from tests.support.postgres import PostgresServer

READS = (
    "ORDER BY replies.id",
    "ORDER BY requests.created_at",
)  #: the two statements about one message


async def test_a_look_at_many_downloads_takes_as_many_statements_as_at_one(
    database_url: str,
) -> None:
    database = Database(database_url)
    env = CoreEnvironment(database)
    assert await env.lease.take()
    statements: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    found = []
    for number in range(1, OF_A_CHANNEL + 1):
        ref = job_ref(START, number)
        await env.ask(key=f"V{number}", ref=ref, job=restore_job(ref))
        del statements[:]
        found.append((len(await env.outbox.due(100)), len(statements)))
    await database.close()

    in_one_look = found[0][1]
    assert found == [(number, in_one_look) for number in range(1, OF_A_CHANNEL + 1)]


async def test_reply_of_an_end_is_never_read_with_a_request_that_goes_on(
    postgres: PostgresServer,
) -> None:
    url, loop = postgres.emptied_database(), asyncio.get_running_loop()
    await ensure_current(url)
    reader, writer = Database(url), Database(url)
    env = CoreEnvironment(writer)
    assert await env.lease.take()
    running = await env.runs.begin((await env.approved()).id)
    read: set[str] = set()

    @event.listens_for(reader.engine, "before_cursor_execute")
    def end_between_the_reads(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        read.update(part for part in READS if part in statement)
        if len(read) == len(READS) and not env.ends:
            ending = env.runs.settle(running, Ending(State.OVER), POLICY)
            asyncio.run_coroutine_threadsafe(ending, loop).result(20)

    outbox = OutboxStore(reader, env.clock, None)
    deliveries = [*await outbox.due(10), *await outbox.due(10)]
    for database in (reader, writer):
        await database.close()

    assert env.ends == [State.OVER]
    replies = [reply for delivery in deliveries for reply in delivery.replies]
    ends = [reply.request for reply in replies if reply.kind is ReplyKind.ENDED]
    assert [request and request.state for request in ends] == [State.OVER]
