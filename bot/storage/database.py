"""Runs transactions with a time limit, reads values, gives the time of the database server."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Column, Connection, Table, func, or_, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation import errors
from bot.cancellation.events import Event
from bot.storage.executor import WRITES, CommitGuard, Executor, PostgresExecutor
from bot.storage.sqlite import SqliteExecutor
from bot.timings import Timings

T = TypeVar("T")
MILLISECONDS = 1000  #: times are stored as milliseconds of Unix time
#: Stands for a time that cannot be read; no stored one has microseconds.
LONG_PAST = datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)
BACKGROUND_TIMEOUT = 5.0  #: seconds that a background transaction may take: less than a lease
#: At a time, so that they do not delay the writes of listeners: of runs, and of all other loops.
MAX_BACKGROUND_WRITES = 2
SERVER_TIMEOUT = 10  #: seconds after which PostgreSQL ends a statement, or what waits for the bot
MAX_NAMED = 1000  #: damaged values that are logged once
MAX_WRITE_AGE = 5.0  #: seconds for which a check that wrote shows that it can be written
NO_ANSWER = "it does not answer in time"  #: reason that /readyz reports after a timeout
TIMED_OUT = "database did not answer in time"  #: logged for a transaction at its time limit
#: Errors of a database that cannot be reached, besides SQLAlchemy's own.
DATABASE_ERRORS = (SQLAlchemyError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def open_executor(
    url: URL, timeout: float, server_timeout: int, *, read_only: bool = False
) -> Executor:
    """Return the executor of a database; no connection is opened yet.

    It waits for a connection, or for SQLite's write lock, for `timeout` seconds; PostgreSQL ends a
    statement after `server_timeout` seconds. `read_only` concerns SQLite's file.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteExecutor(url, timeout, read_only=read_only)
    return PostgresExecutor(url, timeout, server_timeout)


class Database:
    """One database, and transactions that end within `timeout` seconds.

    Work is a plain function of a connection: no `await` can keep a transaction open.
    """

    def __init__(
        self,
        database_url: str,
        *,
        timeout: float = Timings.transaction_timeout,
        read_only: bool = False,  # SQLite's file may be a copy that must not change
    ) -> None:
        url = make_url(database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._executor = open_executor(url, timeout, SERVER_TIMEOUT, read_only=read_only)
        self.engine = self._executor.engine  # for event listeners
        #: Called after each commit: with its audit events, and if it writes messages.
        self.on_event: Callable[[Event], None] = lambda _event: None
        self.on_messages: Callable[[], None] = lambda: None
        self._timeout = timeout
        # SQLite has one writer: this queue is fairer than its busy loop.
        self._write_lock = asyncio.Lock() if self.is_sqlite else None
        self._background_writes = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(MAX_BACKGROUND_WRITES)
        )
        self._check_lock = asyncio.Lock()
        self._checked_at = -math.inf

    async def close(self) -> None:
        """Close every connection, without waiting for a server that does not answer."""
        await self._executor.close()

    async def write(self, work: Callable[[Connection], T], *, background: str = "") -> T:
        """Run `work` in one transaction and commit it.

        In the background it may take longer, and waits for the other writes of this name.

        Raises `Conflict` where a unique index refused the write, `NotRecorded` if it is certainly
        not committed, and `MaybeRecorded` if the commit was sent and its answer did not come.
        """
        async with self._background_writes[background] if background else nullcontext():
            return await self._run(work, writes=True, background=background)

    async def read(self, work: Callable[[Connection], T], *, background: str = "") -> T:
        """Run `work` in one transaction that changes nothing; raises `NotRead`."""
        try:
            return await self._run(work, writes=False, background=background)
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
            return _first_cause(error) or NO_ANSWER
        return None

    async def read_snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run a long read without time limit, on one snapshot; raises `DatabaseUnreadable`."""
        # In SQLite each transaction reads one snapshot anyway.
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        try:
            return await self._executor.run(work, {WRITES: False, **isolation})
        except DATABASE_ERRORS as error:
            raise errors.DatabaseUnreadable(cause_of(error)) from error

    async def _run(self, work: Callable[[Connection], T], *, writes: bool, background: str) -> T:
        timeout = max(self._timeout, BACKGROUND_TIMEOUT) if background else self._timeout
        lock = self._write_lock if self._write_lock and writes else nullcontext()
        guard = CommitGuard()

        def work_and_commit(connection: Connection) -> T:
            result = work(connection)
            guard.begin_commit()
            connection.commit()
            return result

        try:
            async with asyncio.timeout(timeout), lock:
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
    """Write a page without changing anything that is read."""
    if db.dialect.name == "sqlite":  # an UPDATE to the same value would write nothing
        version = db.exec_driver_sql("PRAGMA user_version").scalar_one()
        db.exec_driver_sql(f"PRAGMA user_version = {(version + 1) % 2**31}")
    else:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")


def _first_cause(error: BaseException) -> str | None:
    """Return the database's own message, or None where it did not answer."""
    while error.__cause__ and not isinstance(error, DATABASE_ERRORS):
        error = error.__cause__
    return None if isinstance(error, errors.StorageError) else cause_of(error)


def cause_of(error: BaseException) -> str:
    """Return the database's own message in one line."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__


def read_value(row: Any, column: Column[Any], parse: Callable[[Any], T], instead: T) -> T:  # noqa: ANN401 - a database row
    """Return the value in a column; `instead` where there is none, or one that cannot be read.

    So a damaged row stops no other. The first column of the row names it in the log, once.
    """
    stored = getattr(row, column.name)
    try:
        return parse(stored) if stored else instead
    except (ValueError, TypeError, RecursionError):  # JSON may nest too deeply
        _log_damage(f"{column} of {row[0]}")
        return instead


def same_values(row: Any, table: Table, names: Iterable[str]) -> dict[str, Any]:  # noqa: ANN401 - a database row
    """Return columns as they are; a time that cannot be read is None, or else long past."""
    values = {name: getattr(row, name) for name in names}
    for name in [name for name, value in values.items() if value == LONG_PAST]:
        _log_damage(f"{table.c[name]} of {row[0]}")
        values[name] = None if table.c[name].nullable else LONG_PAST
    return values


@lru_cache(MAX_NAMED)
def _log_damage(place: str) -> None:
    log.error("value of the database cannot be read", place=place)


MAX_ROUND_TRIP = 0.5  #: seconds after which a server's answer is too imprecise to correct the clock


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * MILLISECONDS)


def wall_clock() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def has_passed(moment: ColumnElement[Any], now: Any, far: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a moment, or a parameter that stands for one
    """Return a condition: `moment` has passed, or was written before the clock was set back.

    No moment is ever written as far ahead as `far`, so a later one comes from before the change.
    """
    return or_(moment <= now, moment > far)


@dataclass(eq=False)
class DatabaseClock:
    """The time of the database's machine, continued by a monotonic clock between two reads.

    For SQLite this is the wall clock. PostgreSQL is asked by `set`; before the first answer, the
    clock returns the wall clock's time.
    """

    database: Database
    wall: Callable[[], datetime] = wall_clock
    monotonic: Callable[[], float] = time.monotonic
    _offset: float | None = field(default=None, init=False)  # the server's time at 0 of `monotonic`

    def __call__(self) -> datetime:
        if self._offset is None:
            return self.wall()
        return datetime.fromtimestamp(self._offset + self.monotonic(), UTC)

    async def set(self) -> None:
        """Read the server's time; raises `NotRead` when it does not answer."""
        if self.database.is_sqlite:
            return
        offset, round_trip = await self.database.read(self._measure, background="loops")
        if self._offset is None or round_trip <= MAX_ROUND_TRIP:
            self._offset = offset

    def _measure(self, db: Connection) -> tuple[float, float]:
        """Return the server's time when `monotonic` was 0, and the round trip of the answer."""
        sent = self.monotonic()
        now: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
        received = self.monotonic()
        return now.timestamp() - (sent + received) / 2, received - sent
