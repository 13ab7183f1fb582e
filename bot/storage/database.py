"""The ledger's database: transactions that end in time, one way or the other."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from bot.cancellation.errors import (
    Conflict,
    LedgerError,
    MaybeRecorded,
    NotRead,
    NotRecorded,
    RecordUnreadable,
)
from bot.storage.sqlite import WRITES, open_executor

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

#: Seconds a transaction may take: an answer must reach Slack within 3.
TRANSACTION_TIMEOUT = 2.0

#: Seconds that work in the background may take: less than a lease holds.
BACKGROUND_TIMEOUT = 5.0

#: How many writes of the background compete with those for which somebody waits in Slack.
MAX_BACKGROUND_WRITES = 2

#: Seconds after which PostgreSQL or its driver ends what we gave up on.
SERVER_TIMEOUT = 10

#: Seconds for abandoned transactions at the end.
CLOSE_TIMEOUT = 1.0

#: What the log says of a transaction that was given up.
TIMED_OUT = "ledger did not answer in time"

#: What a database that is away raises, besides SQLAlchemy's own errors.
DATABASE_ERRORS = (SQLAlchemyError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


class CommitGuard:
    """How far a transaction has come: once the commit is sent, only the database knows.

    The transaction may run in another thread, so one lock decides whether a commit or a giving-up
    comes first: what is given up before its commit never commits.
    """

    def __init__(self) -> None:
        self.committing = False
        self._given_up = False
        self._lock = Lock()

    def commits(self) -> None:
        """Go on to the commit; raises `NotRecorded` if nobody waits for it any more."""
        with self._lock:
            if self._given_up:
                raise NotRecorded
            self.committing = True

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True


class Database:
    """One store, and transactions that end within `timeout` seconds, one way or the other.

    Work is a plain function of a connection: no `await` can hold a transaction open.
    """

    def __init__(self, database_url: str, *, timeout: float = TRANSACTION_TIMEOUT) -> None:
        url = make_url(database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._store = open_executor(url, timeout, SERVER_TIMEOUT)
        self._timeout = timeout
        # SQLite has one writer: a queue of our own is fairer than its busy loop.
        self._turn = asyncio.Lock() if self.is_sqlite else None
        self._background_writes = asyncio.Semaphore(MAX_BACKGROUND_WRITES)
        self._abandoned: set[asyncio.Task[Any]] = set()

    @property
    def engine(self) -> Engine:
        """What listeners are hung on."""
        return self._store.engine

    async def close(self) -> None:
        """Close every connection; a server that does not answer is not waited for."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=CLOSE_TIMEOUT)
        await self._store.close()

    async def write(self, work: Callable[[Connection], T], *, background: bool = False) -> T:
        """Run `work` in one transaction and commit it.

        Args:
            work: what to do on the connection.
            background: whether it may wait for other writes, and take longer.

        Raises:
            Conflict: a unique index refused it; look again.
            NotRecorded: certainly not committed.
            MaybeRecorded: the commit was sent, and its answer did not come.
        """
        if not background:
            return await self._bounded(work, self._timeout, writes=True)
        async with self._background_writes:
            return await self._bounded(work, max(self._timeout, BACKGROUND_TIMEOUT), writes=True)

    async def read(self, work: Callable[[Connection], T], *, background: bool = False) -> T:
        """Run `work` in one transaction that changes nothing; raises `NotRead`."""
        timeout = max(self._timeout, BACKGROUND_TIMEOUT) if background else self._timeout
        try:
            return await self._bounded(work, timeout, writes=False)
        except NotRecorded as error:
            raise NotRead from error

    async def read_snapshot(self, work: Callable[[Connection], T]) -> T:
        """Read much, for as long as it takes, and all of it as it was at one moment.

        Raises:
            RecordUnreadable: the database does not answer, or has nothing of the kind.
        """
        # In SQLite each transaction sees one moment anyway.
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        try:
            return await self._store.run(work, {WRITES: False, **isolation})
        except DATABASE_ERRORS as error:
            raise RecordUnreadable(cause_of(error)) from error

    async def _bounded(self, work: Callable[[Connection], T], timeout: float, *, writes: bool) -> T:
        progress = CommitGuard()
        task = asyncio.create_task(self._transaction(work, progress, writes=writes))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            self._abandon(task, progress)
            raise
        if done:
            return task.result()
        self._abandon(task, progress)
        committing = writes and progress.committing
        log.warning(TIMED_OUT, committing=committing)
        raise MaybeRecorded if committing else NotRecorded

    async def _transaction(
        self, work: Callable[[Connection], T], progress: CommitGuard, *, writes: bool
    ) -> T:
        def whole(connection: Connection) -> T:
            result = work(connection)
            progress.commits()
            connection.commit()
            return result

        try:
            async with self._turn_of(writes=writes):
                return await self._store.run(whole, {WRITES: writes})
        except IntegrityError as error:
            raise Conflict from error
        except DATABASE_ERRORS as error:
            committing = writes and progress.committing
            log.warning("ledger failed", error=str(error), committing=committing)
            raise _meaning(error, committing=committing) from error

    def _turn_of(self, *, writes: bool) -> asyncio.Lock | nullcontext[None]:
        return self._turn if self._turn and writes else nullcontext()

    def _abandon(self, task: asyncio.Task[Any], progress: CommitGuard) -> None:
        """Let go of a transaction without waiting for the database to notice."""
        # Decided here: a commit not yet sent never will be, not by a thread that goes on, nor by
        # a driver that swallows the cancellation (asyncpg does, in a ping).
        progress.give_up()
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled() and task.exception():
            log.info("abandoned transaction ended", error=str(task.exception()))


def cause_of(error: Exception) -> str:
    """Return the database's own message in one line."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__


def _meaning(error: Exception, *, committing: bool) -> LedgerError:
    """Tell a refused commit from one whose answer was lost."""
    lost = error.connection_invalidated if isinstance(error, DBAPIError) else True
    return MaybeRecorded() if committing and lost else NotRecorded()
