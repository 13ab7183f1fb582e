"""`audit --follow` in a process of its own: outages of the database, and the end by Ctrl-C."""

import asyncio
import json
import signal
from asyncio.subprocess import Process
from contextlib import AbstractAsyncContextManager

import pytest

from bot.storage.database import Database, wall_clock
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.support.domain import RINA, a_request
from tests.support.postgres import PostgresServer
from tests.support.process import executing
from tests.support.timings import DATABASE_TIMEOUT


def following(url: str, *arguments: str) -> AbstractAsyncContextManager[Process]:
    return executing("audit", "--follow", *arguments, DATABASE_URL=url)


async def record(url: str) -> str:
    database = Database(url, timeout=DATABASE_TIMEOUT)
    request = await RequestStore(database, wall_clock).create(a_request(), RINA)
    await database.close()
    return request.id


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream
    return (await asyncio.wait_for(stream.readline(), 30)).decode()


async def end(process: Process) -> int:
    process.send_signal(signal.SIGINT)
    return await asyncio.wait_for(process.wait(), 10)


async def test_events_are_streamed_through_an_outage_until_the_interrupt(
    postgres: PostgresServer,
) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    await ensure_current(url)
    first = await record(url)
    async with following(url, "--since", "2020-01-01", "--format", "jsonl") as process:
        before = [json.loads(await line(process.stdout))["request"] for _ in range(2)]
        await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
        text = await line(process.stderr)
        await asyncio.to_thread(postgres.start)
        second = await record(url)
        after = [json.loads(await line(process.stdout))["request"] for _ in range(2)]
        text += await line(process.stderr)

        assert await end(process) == 0
    assert (before, after) == ([first] * 2, [second] * 2)
    assert text.splitlines() == [
        "The database does not answer: waiting. No event is missed.",
        "The database answers again.",
    ]


@pytest.mark.parametrize(
    ("format_", "begins"), [("csv", "at,event,request,actor,team,number,hash,"), ("table", "20")]
)
async def test_other_formats_are_streamed_line_by_line(
    tmp_path: object, format_: str, begins: str
) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    await ensure_current(url)
    request = await record(url)
    async with following(url, "--since", "2020-01-01", "--format", format_) as process:
        lines = [await line(process.stdout) for _ in range(2)]

        assert await end(process) == 0
    assert lines[0].startswith(begins)
    assert request in lines[1]
    assert "wrong cluster" in "".join(lines)
