"""Opens the ledger's database: SQLite or PostgreSQL, waits bounded, schema brought up at start."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bot.cancellation.address import for_the_driver
from bot.cancellation.errors import Conflict, LedgerError, MaybeRecorded, NotRead, NotRecorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

#: Seconds a transaction may take: an answer must reach Slack within 3.
PATIENCE = 2.0

#: Seconds that work in the background may take: less than a lease holds.
UNHURRIED = 5.0

#: How many writes of the background compete with those for which somebody waits in Slack.
ABREAST = 2

#: Seconds after which PostgreSQL or its driver ends what we gave up on.
ABANDONED_AFTER = 10

#: Seconds for each step of an end: abandoned transactions, then a farewell to the server.
FAREWELL = 1.0

#: Seconds for which a replica waits at its start while another brings the schema up.
TURN_AT_START = 300

#: Any fixed number: two replicas that start together take turns with it.
MIGRATION_LOCK = 0x5CA1AB1E

#: What a database that is away raises, besides SQLAlchemy's own errors.
AWAY = (SQLAlchemyError, OSError, TimeoutError)

#: Marks the transactions that take SQLite's write lock at their start.
WRITES = "ledger_writes"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Progress:
    """How far a transaction has come: once the commit is sent, only the database knows."""

    committing: bool = False
    given_up: bool = False


class Database:
    """One engine, and transactions that end within `patience` seconds, one way or the other."""

    def __init__(self, database_url: str, *, patience: float = PATIENCE) -> None:
        self._url = make_url(database_url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.engine = _engine(self._url, patience, ABANDONED_AFTER)
        self._patience = patience
        # SQLite has one writer: a queue of our own is fairer than its busy loop.
        self._turn = asyncio.Lock() if self.is_sqlite else None
        self._unhurried = asyncio.Semaphore(ABREAST)
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._open: WeakSet[Any] = WeakSet()  # the driver's connections, to cut them at the end
        event.listen(self.engine.sync_engine, "connect", self._opened)

    def _opened(self, connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        self._open.add(connection.driver_connection)

    async def migrate(self) -> None:
        """Bring the schema to the newest version; replicas that start together take turns."""
        # Nobody waits in Slack for this: a table of a million rows may take its time.
        if self.is_sqlite:
            _keep_private(self._url)
        engine = _engine(self._url, TURN_AT_START, TURN_AT_START)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade)
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Close every connection; a server that does not answer is not waited for."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=FAREWELL)
        try:
            async with asyncio.timeout(FAREWELL):
                await self.engine.dispose()
        except TimeoutError:
            log.warning("database does not answer, so its connections are cut")
            self._cut()
            await self.engine.dispose()

    def _cut(self) -> None:
        for connection in self._open:
            (connection.stop if self.is_sqlite else connection.terminate)()

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, unhurried: bool = False
    ) -> T:
        """Run `work` in one transaction and commit it.

        Args:
            work: what to do on the connection.
            unhurried: nobody waits in Slack for this, so it lets others go first, and takes longer.

        Raises:
            Conflict: a unique index refused it; look again.
            NotRecorded: certainly not committed.
            MaybeRecorded: the commit was sent, and its answer did not come.
        """
        if not unhurried:
            return await self._bounded(work, self._patience, writes=True)
        async with self._unhurried:
            return await self._bounded(work, max(self._patience, UNHURRIED), writes=True)

    async def read(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, unhurried: bool = False
    ) -> T:
        """Run `work` in one transaction that changes nothing; raises `NotRead`."""
        patience = max(self._patience, UNHURRIED) if unhurried else self._patience
        try:
            return await self._bounded(work, patience, writes=False)
        except NotRecorded as error:
            raise NotRead from error

    async def _bounded(
        self, work: Callable[[AsyncConnection], Awaitable[T]], patience: float, *, writes: bool
    ) -> T:
        progress = Progress()
        task = asyncio.create_task(self._transaction(work, progress, writes=writes))
        try:
            done, _ = await asyncio.wait({task}, timeout=patience)
        except asyncio.CancelledError:
            self._abandon(task, progress)
            raise
        if done:
            return task.result()
        self._abandon(task, progress)
        log.warning("ledger did not answer in time", committing=progress.committing)
        raise MaybeRecorded if progress.committing else NotRecorded

    async def _transaction(
        self, work: Callable[[AsyncConnection], Awaitable[T]], progress: Progress, *, writes: bool
    ) -> T:
        try:
            async with self._turn_of(writes=writes), self._connection(writes=writes) as connection:
                result = await work(connection)
                _go_on(progress)
                progress.committing = writes
                await connection.commit()
                return result
        except IntegrityError as error:
            raise Conflict from error
        except AWAY as error:
            log.warning("ledger failed", error=str(error), committing=progress.committing)
            raise _meaning(error, progress) from error

    def _turn_of(self, *, writes: bool) -> asyncio.Lock | nullcontext[None]:
        return self._turn if self._turn and writes else nullcontext()

    @asynccontextmanager
    async def _connection(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            await connection.execution_options(**{WRITES: writes})
            yield connection

    def _abandon(self, task: asyncio.Task[Any], progress: Progress) -> None:
        """Let go of a transaction without waiting for the database to notice."""
        # Decided before the task can run again: a commit not yet sent never will be, not even by
        # a driver that swallows the cancellation (asyncpg does, in a ping).
        progress.given_up = True
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled() and task.exception():
            log.info("abandoned transaction ended", error=str(task.exception()))


def _go_on(progress: Progress) -> None:
    if progress.given_up:
        raise NotRecorded


def _meaning(error: Exception, progress: Progress) -> LedgerError:
    """Tell a refused commit from one whose answer was lost."""
    lost = error.connection_invalidated if isinstance(error, DBAPIError) else True
    return MaybeRecorded() if progress.committing and lost else NotRecorded()


def _engine(url: URL, patience: float, ended_after: int) -> AsyncEngine:
    """Make an engine.

    Args:
        url: which database.
        patience: seconds for a connection, or for the turn to write.
        ended_after: seconds after which PostgreSQL or its driver end a statement by themselves.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, patience)
    return _postgresql(url, min(patience, PATIENCE), ended_after)


class _Closing(sqlite3.Connection):
    """Closes its file when it is dropped: the driver forgets one whose opening was cancelled."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # a file that could not be opened: nothing is open
            self.close()


def _keep_private(url: URL) -> None:
    """Create the file for its owner alone: it holds ids and reasons."""
    path = Path(url.database or "")
    with suppress(OSError):  # what is wrong with the path, its first use tells
        path.touch(mode=0o600, exist_ok=True)


def _sqlite(url: URL, patience: float) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"), connect_args={"factory": _Closing}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        # The driver's implicit BEGIN is off: ours says which transactions write.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {round(patience * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",  # an acknowledged request survives a power cut
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL, patience: float, ended_after: int) -> AsyncEngine:
    ended = f"{ended_after * 1000}"
    address, arguments = for_the_driver(url)
    return create_async_engine(
        address,
        pool_size=10,
        pool_timeout=patience,
        pool_pre_ping=True,  # a restarted server costs one ping, not one lost click
        connect_args={
            **arguments,
            "timeout": patience,
            "command_timeout": ended_after,
            "server_settings": {
                "application_name": "cancel-restore",
                # A replica that hangs with a row locked must not hold up the others for ever.
                "idle_in_transaction_session_timeout": ended,
                "lock_timeout": ended,
            },
        },
    )


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", "bot.cancellation:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
