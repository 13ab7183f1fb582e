"""Runs transactions with a time limit, and tells whether the database can be written."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import URL, Connection, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from bot.cancellation import errors
from bot.cancellation.change import Change
from bot.storage.executor import WRITES, CommitGuard, Executor, PostgresExecutor
from bot.storage.sqlite import SqliteExecutor

T = TypeVar("T")
TIMEOUT = 2.0  #: seconds that a transaction may take
SERVER_TIMEOUT = 5  #: seconds after which PostgreSQL ends a statement, or what waits for the bot
MAX_WRITE_AGE = 5.0  #: seconds for which a check that wrote shows that it can be written
NO_ANSWER = "it does not answer in time"  #: reason that /readyz reports after a timeout
TIMED_OUT = "database did not answer in time"  #: logged for a transaction at its time limit
#: Errors of a database that cannot be reached, besides SQLAlchemy's own.
DATABASE_ERRORS = (SQLAlchemyError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def open_executor(url: URL, timeout: float, server_timeout: int) -> Executor:
    """Return the executor of a database; no connection is opened yet.

    It waits for a connection, or for SQLite's write lock, for `timeout` seconds; PostgreSQL ends a
    statement after `server_timeout` seconds.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteExecutor(url, timeout)
    return PostgresExecutor(url, timeout, server_timeout)


class Doubtful(Protocol):
    """A transaction whose commit may have been sent, and got no answer."""

    def is_stored(self, db: Connection) -> bool:
        """Whether it was committed, asked where every earlier write has ended."""

    def tell(self) -> None:
        """Do what follows its commit."""


class Database:
    """One database, and transactions that end within `timeout` seconds.

    Work is a plain function of a connection: no `await` can keep a transaction open.
    """

    def __init__(self, database_url: str, *, timeout: float = TIMEOUT) -> None:
        url = make_url(database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._executor = open_executor(url, timeout, SERVER_TIMEOUT)
        self.engine = self._executor.engine  # for event listeners
        #: Called after each commit with each change that it made.
        self.report: Callable[[Change], None] = lambda _change: None
        self.doubtful: list[Doubtful] = []
        self._timeout = timeout
        # SQLite has one writer: this queue is fairer than its busy loop.
        self._write_lock = asyncio.Lock() if self.is_sqlite else None
        self._check_lock = asyncio.Lock()
        self._checked_at = -math.inf

    async def close(self) -> None:
        """Close every connection, without waiting for a server that does not answer."""
        await self._executor.close()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction and commit it.

        Raises `Conflict` where a unique index refused the write, `NotRecorded` if it is certainly
        not committed, and `MaybeRecorded` if the commit was sent and its answer did not come.
        """
        return await self._run(work, writes=True)

    async def write_in_turn(
        self, lock: Callable[[Connection], None], work: Callable[[Connection], T]
    ) -> T:
        """Run `work` once `lock` has let every earlier write end; raises what `write` raises.

        There it is certain which of the doubtful transactions were committed.
        """
        doubtful = tuple(self.doubtful)

        def run(db: Connection) -> tuple[T, list[Doubtful]]:
            lock(db)
            stored = [each for each in doubtful if each.is_stored(db)]
            return work(db), stored

        result, stored = await self.write(run)
        for each in doubtful:
            if each in self.doubtful:  # else another transaction was first
                self.doubtful.remove(each)
                if each in stored:
                    each.tell()
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction that changes nothing; raises `NotRead`."""
        try:
            return await self._run(work, writes=False)
        except errors.NotRecorded as error:
            raise errors.NotRead from error

    async def check_writable(self) -> str | None:
        """Return why nothing can be written; a read suffices within `MAX_WRITE_AGE` of a write.

        Only an own write counts: other transactions may commit without having written a byte.
        """
        if problem := self._executor.problem():
            return problem
        try:
            async with self._check_lock:
                if time.monotonic() - self._checked_at < MAX_WRITE_AGE:
                    await self.read(lambda db: db.execute(select(1)).scalar_one())
                else:
                    await self.write(_write_something)
                    self._checked_at = time.monotonic()
        except errors.StorageError as error:
            return first_cause(error)
        return None

    async def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        lock = self._write_lock if self._write_lock and writes else nullcontext()
        guard = CommitGuard()

        def work_and_commit(connection: Connection) -> T:
            result = work(connection)
            guard.begin_commit()
            try:
                connection.commit()
            except BaseException:  # else the pool lends it out with its transaction still open
                connection.invalidate()
                raise
            return result

        try:
            async with asyncio.timeout(self._timeout), lock:
                return await self._executor.run(work_and_commit, {WRITES: writes}, guard)
        except TimeoutError:
            committing = writes and guard.committing
            log.warning(TIMED_OUT, committing=committing)
            raise (errors.MaybeRecorded if committing else errors.NotRecorded) from None
        except IntegrityError as error:
            raise errors.Conflict from error
        except DATABASE_ERRORS as error:
            committing = writes and guard.committing
            log.warning("database failed", error=str(error), committing=committing)
            # A refused commit differs from one whose answer was lost.
            lost = not isinstance(error, DBAPIError) or error.connection_invalidated
            raise (errors.MaybeRecorded if committing and lost else errors.NotRecorded) from error


def _write_something(db: Connection) -> None:
    """Write a page without changing anything that is read.

    On PostgreSQL that is the row that every writer locks: if another program locks it, nothing can
    be written.
    """
    if db.dialect.name == "sqlite":  # an UPDATE to the same value would write nothing
        version = db.exec_driver_sql("PRAGMA user_version").scalar_one()
        db.exec_driver_sql(f"PRAGMA user_version = {(version + 1) % 2**31}")
    else:
        db.exec_driver_sql("UPDATE lease SET number = number")


def first_cause(error: BaseException) -> str:
    """Return the database's own message, or `NO_ANSWER`."""
    while error.__cause__ and not isinstance(error, DATABASE_ERRORS):
        error = error.__cause__
    return NO_ANSWER if isinstance(error, errors.StorageError) else cause_of(error)


def cause_of(error: BaseException) -> str:
    """Return the database's own message in one line."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__


def wall_clock() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)
