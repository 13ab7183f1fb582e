"""Time of each database operation with 10, 1,000 and 1,000,000 requests, in both databases."""

from __future__ import annotations

import asyncio
import re
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import event, text

from bot.cancellation.lifecycle import Outcome, State
from bot.slack import home
from bot.storage.database import Database
from bot.storage.history import History
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from tests.support.domain import PROJECT_ID, RINA, a_request
from tests.support.postgres import open_postgres
from tests.support.required_programs import find
from tests.tools.bench.seed import WAITING, seed
from tests.tools.reporting.report import Goal, Row, Table, in_turn, median, ratio, seconds_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Connection

    from tests.tools.reporting.report import Scale

#: How much longer an operation may take with the longest history than with the shortest.
LIMIT = 2.0
FLAT = f"flat within {LIMIT:g} ×"

OWNER = "bench"
PROJECTS = {PROJECT_ID}

#: How the databases' plans name a full table scan; SQLite also for a scan that stops early.
WHOLE = re.compile(r"SCAN (\w+)$|Seq Scan on (\w+)", re.MULTILINE)

#: Reads the audit log backwards by id until it has enough rows.
BACKWARDS = "ORDER BY audit_events.id DESC"

NOTES = (
    "Times are in ms; the columns are the numbers of requests in the database.",
    (
        "Each request has one approval, three posts, six events and a watched job with its"
        f" announcement and facts; the history is sixty days long, and {WAITING} requests are"
        " waiting. PostgreSQL has fresh statistics."
    ),
    (
        "Sweep: expiry, runnable requests, and the count, as every two seconds."
        " /cancel-restore list uses Atlas only."
    ),
)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class DatabaseOperations:
    """The operations on one database."""

    database: Database
    requests: RequestStore = field(init=False)
    leases: LeaseStore = field(init=False)
    posts: OutboxStore = field(init=False)
    history: History = field(init=False)
    claimed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests = RequestStore(self.database, now)
        self.leases = LeaseStore(self.database, now, OWNER)
        self.posts = OutboxStore(self.database, now)
        self.history = History(self.database, now)

    async def sweep(self) -> None:
        await self.requests.end_due()
        await self.leases.list_runnable()
        await self.requests.counts()

    async def home(self) -> None:
        await self.history.awaiting()
        await self.history.recent(home.MAX_PAST, PROJECTS)

    async def run_all(self) -> dict[str, float]:
        """Run each operation once, and return its seconds."""
        request = a_request(created_at=now(), changed_at=now(), expires_at=now() + timedelta(1))
        works: dict[str, Callable[[], Awaitable[object]]] = {
            "sweep": self.sweep,
            "old posts, none": self.history.delete_posts,
            "outbox, nothing due": lambda: self.posts.claim(OWNER, 8, 1),
            "history 10": lambda: self.history.recent(10, PROJECTS),
            "Home": self.home,
            "open request for a job": lambda: self.requests.open_request_for(request.ref),
            "submission": lambda: self.requests.create(request, RINA),
            "the same submission again": lambda: self.requests.create(request, RINA),
            "claim": lambda: self.leases.claim(request.id),
            "DELETE recorded": lambda: self._sent(request.id),
            "outcome": lambda: self._ended(request.id),
            "outbox, card due": self._claimed,
            "outbox, posts in delivery": self._renewed,
        }
        taken = {name: await seconds_of(work) for name, work in works.items()}
        await self._posted()
        return taken

    async def _sent(self, request_id: str) -> None:
        request = await self.requests.get(request_id)
        await self.leases.record_delete_sent(request)

    async def _ended(self, request_id: str) -> None:
        request = await self.requests.get(request_id)
        answered = replace(request.sent, accepted=True, unknown=False)
        await self.leases.record_delete_answer(request, answered, {"status": 204})
        await self.leases.settle(request, State.CANCELLED, Outcome(sentence="cancelled"))

    async def _claimed(self) -> None:
        self.claimed = [post.id for post in await self.posts.claim(OWNER, 8, 1)]

    async def _renewed(self) -> None:
        """Renew the claims of posts in delivery."""
        await self.posts.claim(OWNER, 8, 1, held=self.claimed)

    async def _posted(self) -> None:
        """Mark due posts as sent, so that rounds do not affect each other."""
        delivered = text("UPDATE posts SET state = 'sent' WHERE state = 'due'")
        await self.database.write(lambda db: db.execute(delivered))


async def measure(scale: Scale) -> list[Table]:
    sizes = (10, 1_000, scale.pick(100_000, 1_000_000))
    tables = []
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        urls = [f"sqlite:///{folder}/{size}.db" for size in sizes]
        tables.append(await _table("SQLite", sizes, urls, scale))
    if find("initdb") is None:
        missing = Row("all", missing="PostgreSQL is missing: apt-get install postgresql")
        goals = [Goal.at_most(FLAT, None, LIMIT)]
        nothing = Table(title="PostgreSQL", columns=_columns(sizes), rows=[missing], goals=goals)
        return [*tables, nothing]
    async with open_postgres() as server:
        urls = [await asyncio.to_thread(server.new_database) for _ in sizes]
        tables.append(await _table("PostgreSQL", sizes, urls, scale))
    return tables


def _columns(sizes: Sequence[int]) -> list[str]:
    return [*(f"{size:,}" for size in sizes), f"ratio to {sizes[0]}"]


async def _table(name: str, sizes: Sequence[int], urls: Sequence[str], scale: Scale) -> Table:
    async with AsyncExitStack() as stack:
        stack.enter_context(_quiet())
        databases = {}
        for size, url in zip(sizes, urls, strict=True):
            await seed(url, size)
            databases[str(size)] = DatabaseOperations(Database(url))
            stack.push_async_callback(databases[str(size)].database.close)
        variants = {size: each.run_all for size, each in databases.items()}
        given = await in_turn(variants, scale.pick(10, 50), warm=3)
        whole = await whole_tables(databases[str(sizes[-1])])
    rows, ratios = [], {}
    for work in given[str(sizes[0])][0]:
        seconds = [[each[work] for each in given[str(size)]] for size in sizes]
        ratios[work] = ratio(seconds[-1], seconds[0])
        rows.append(Row(work, [*(median(each) * 1000 for each in seconds), ratios[work]]))
    worst = max(ratios, key=ratios.__getitem__)
    goals = [
        Goal.at_most(f"{FLAT} (the worst is “{worst}”)", ratios[worst], LIMIT),
        Goal(text="no full table scan", seen=", ".join(whole) or "none", held=not whole),
    ]
    return Table(title=name, columns=_columns(sizes), rows=rows, goals=goals, notes=NOTES)


def _quiet() -> Any:
    """Keep the log lines of the bot out of the report."""
    return structlog.testing.capture_logs()


async def whole_tables(operations: DatabaseOperations) -> list[str]:
    """Return the tables that some operation scans completely."""
    engine = operations.database.engine
    ran: dict[str, Any] = {}

    def note(_c: Any, _k: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and not many:
            ran[statement] = values

    event.listen(engine, "before_cursor_execute", note)
    await operations.run_all()
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if operations.database.is_sqlite else "EXPLAIN "
    # The statement with "sent" is the cleanup of this benchmark.
    asked = [s for s in ran if BACKWARDS not in s and "state = 'sent'" not in s]

    def plans(db: Connection) -> str:
        rows = [row for s in asked for row in db.exec_driver_sql(explain + s, ran[s])]
        return "\n".join(str(row[-1]) for row in rows)

    found = WHOLE.findall(await operations.database.read(plans))
    return sorted({one or other for one, other in found} - {"chain_head"})  # it has one row
