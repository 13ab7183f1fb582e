"""Cost of the stores with a short and a long history, on SQLite and PostgreSQL.

A *request* is all transactions of one: the list with the new download, submit, approval, run,
delivery of the message and the replies. *Polls* are the reads that the active process repeats
each second. The history is ended requests over 60 days: copies of a real one with its rows.
`--long` has a million.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection, Table, text

from bot.storage.database import Database
from bot.storage.migrate import ensure_current
from bot.storage.tables import approvals, audit_events, downloads, replies, requests
from tests.benchmarks.environment import Options
from tests.benchmarks.results import Figure, median, ratio
from tests.support.core import CoreEnvironment
from tests.support.domain import ADA, job_ref, restore_job
from tests.support.postgres import PostgresServer

#: Creates a database; returns its URL, and what tidies it up after the copies were made.
NewDatabase: TypeAlias = Callable[[], tuple[str, Callable[[], object]]]

GOAL = 1.25
FEW = 10
SPAN = 60 * 86_400_000  #: milliseconds over which the copies are spread
COPY = """
INSERT INTO {table} ({columns})
WITH RECURSIVE numbers(i) AS (
    SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM numbers WHERE i < {copies}
)
SELECT {values} FROM {table} CROSS JOIN numbers WHERE {condition}
"""
#: Values of the copies that differ from the original; they have the same length.
NEW_JOB = "substr(job_id, 1, 8) || (1000000000000000 + i)"
NEW_REQUEST = "substr({}, 1, 16) || (1000000000000000 + i)"
EARLIER = "{} - (i * {step})"


async def measure(options: Options) -> list[Figure]:
    figures = []
    for kind, server in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        with server() as new_database:
            figures += await _measure(kind, new_database, options)
    return figures


async def _measure(kind: str, new_database: NewDatabase, options: Options) -> list[Figure]:
    """Compare two databases of one kind, round by round."""
    many = options.pick(100, 100_000, 1_000_000)
    async with AsyncExitStack() as stack:
        short = await stack.enter_async_context(_history(new_database, 0))
        long = await stack.enter_async_context(_history(new_database, many))
        few, lots = _no_times(), _no_times()
        for number in range(-3, options.pick(2, 60)):
            for history, seconds in ((short, few), (long, lots)):
                for work, took in (await history.times()).items():
                    if number >= 0:
                        seconds[work].append(took)
    return [
        figure
        for work, seconds in few.items()
        for figure in (
            Figure(
                f"{kind}, {work} with {many:,} × with {FEW} requests",
                ratio(lots[work], seconds),
                goal=GOAL,
            ),
            Figure(f"{kind}, {work} with {many:,} requests", 1000 * median(lots[work]), "ms"),
        )
    ]


@asynccontextmanager
async def _history(new_database: NewDatabase, copies: int) -> AsyncIterator["History"]:
    """Yield a history of some requests and of copies of one."""
    url, tidy = new_database()
    await ensure_current(url)
    database = Database(url, timeout=600.0)
    try:
        env = CoreEnvironment(database)
        assert await env.lease.take()
        history = History(env)
        for _ in range(FEW):
            await history.request()
        if copies:
            await history.copy(copies)
            await asyncio.to_thread(tidy)
        yield history
    finally:
        await database.close()


@contextmanager
def _sqlite() -> Iterator[NewDatabase]:
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        files = (Path(folder) / f"{number}.db" for number in count())

        def new() -> tuple[str, Callable[[], object]]:
            file = next(files)
            return f"sqlite:///{file}", lambda: _checkpoint(file)

        yield new


def _checkpoint(file: Path) -> None:
    """Empty the log, which the copies have made large."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _postgres() -> Iterator[NewDatabase]:
    with PostgresServer() as server:

        def new() -> tuple[str, Callable[[], object]]:
            url = server.new_database()
            name = url.rpartition("/")[2]
            return url, lambda: [server.execute(s, name) for s in ("VACUUM ANALYZE", "CHECKPOINT")]

        yield new


def _no_times() -> dict[str, list[float]]:
    return {"request": [], "polls": []}


class History:
    """Requests of one process, numbered."""

    def __init__(self, env: CoreEnvironment) -> None:
        self.env = env
        self.number = 0

    async def times(self) -> dict[str, float]:
        """Return the seconds of a request and of the polls."""
        began = time.perf_counter()
        await self.request()
        between = time.perf_counter()
        await self.polls()
        return {"request": between - began, "polls": time.perf_counter() - between}

    async def request(self) -> None:
        """Let the watch find a download, request, approve and cancel it, and deliver all."""
        env, self.number = self.env, self.number + 1
        ref = job_ref(env.clock.now, self.number)
        await env.list_new(ref)
        asked = await env.ask(ref=ref, job=restore_job(ref), key=f"V{self.number}")
        ended = await env.run(await env.service.approve(asked.id, ADA))
        assert ended.state == "cancelled", ended
        for delivery in await env.outbox.due(10):
            version = delivery.wanted_version
            await env.outbox.message_shown(delivery.download.ref, version, "C0OPS", "1.0")
            for reply in delivery.replies:
                await env.outbox.reply_done(reply.id)
        assert not await env.outbox.due(10)

    async def polls(self) -> None:
        env = self.env
        await env.requests.due()
        await env.requests.count_open()
        await env.runs.running()
        await env.downloads.due_to_auto_cancel()
        await env.downloads.going_on()
        await env.downloads.without_final_starters(env.atlas.project_id)
        await env.downloads.delete_old()
        await env.outbox.due(10)
        await env.outbox.oldest()

    async def copy(self, copies: int) -> None:
        """Copy the last request with all its rows, as requests of earlier days."""
        ref = job_ref(self.env.clock.now, self.number)
        (request,) = await self.env.requests.of_download(ref.project_id, ref.job_id)
        step = SPAN // copies

        def earlier(*columns: str) -> dict[str, str]:
            return {name: EARLIER.format(name, step=step) for name in columns}

        new_id, new_request = NEW_REQUEST.format("id"), NEW_REQUEST.format("request")
        new_job, new_key = {"job_id": NEW_JOB}, "key || '-' || i"
        times = earlier("created_at", "changed_at", "expires_at")

        shown = new_job | earlier("stored_at", "read_at", "changed_at")
        of_job, of_request = f"job_id = '{ref.job_id}'", {"request": new_request}
        changes = {
            downloads: (of_job, shown),
            requests: (f"id = '{request.id}'", {"id": new_id, "key": new_key, **new_job, **times}),
            approvals: (f"request = '{request.id}'", of_request),
            replies: (of_job, new_job | of_request),
            audit_events: (f"request = '{request.id}'", of_request),
        }

        def work(db: Connection) -> None:
            if not self.env.database.is_sqlite:
                db.execute(text("SET LOCAL statement_timeout = 0"))
            for table, (condition, values) in changes.items():
                db.execute(text(_copy(table, copies, condition, values)))

        await self.env.database.write(work)


def _copy(table: Table, copies: int, condition: str, changes: Mapping[str, str]) -> str:
    """Return a statement that inserts copies of the rows for which the condition holds."""
    # The database numbers new rows itself.
    names = [item.name for item in table.columns if item.autoincrement is not True]
    values = [changes.get(name, f'"{name}"') for name in names]
    return COPY.format(
        table=table.name,
        columns=", ".join(f'"{name}"' for name in names),
        values=", ".join(values),
        copies=copies,
        condition=condition,
    )
