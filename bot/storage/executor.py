"""Runs transactions in threads, and ends on PostgreSQL what hangs.

Work is a plain function of a connection, so that a transaction needs one switch to a thread instead
of one for each statement.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

from bot.cancellation import errors

T = TypeVar("T")
#: The execution option of transactions that take SQLite's write lock at their start.
WRITES = "cancel_restore_writes"


class CommitGuard:
    """Decides whether a transaction commits or is abandoned, whichever comes first.

    Once the commit is sent, only the database knows the result. The transaction runs in another
    thread, so a lock orders the two: one that is abandoned before its commit never commits.
    """

    def __init__(self) -> None:
        self.committing = False
        self.abandoned = False
        self._end: Callable[[], None] | None = None
        self._lock = Lock()

    def begin_commit(self) -> None:
        """Allow the commit; raises `NotRecorded` if the transaction was abandoned."""
        with self._lock:
            if self.abandoned:
                raise errors.NotRecorded
            self.committing = True

    def ends_by(self, end: Callable[[], None] | None) -> None:
        """Set what ends the thread's statement; raises `NotRecorded` as above."""
        with self._lock:
            self._end = end
            if end and self.abandoned:
                raise errors.NotRecorded

    def abandon(self) -> None:
        """Forbid the commit, unless it was sent already, and end what the thread waits for."""
        with self._lock:
            self.abandoned = True
            if self._end:
                self._end()


#: The guard of the transaction that runs in this thread.
GUARD: ContextVar[CommitGuard] = ContextVar("GUARD")


class Executor:
    """A database, with threads of its own."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._running: set[CommitGuard] = set()

    async def run(
        self,
        work: Callable[[Connection], T],
        options: Mapping[str, Any],
        guard: CommitGuard | None = None,
    ) -> T:
        """Run `work` on a connection with these execution options, and roll back what is open.

        A cancelled caller abandons the transaction, and does not wait for its thread.
        """
        guard = guard or CommitGuard()

        def in_thread() -> T:
            GUARD.set(guard)
            with self.engine.connect().execution_options(**options) as connection:
                return work(connection)

        # The caller's context variables, for log lines and spans.
        in_context = partial(copy_context().run, in_thread)
        self._running.add(guard)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, in_context)
        except asyncio.CancelledError:
            guard.abandon()
            raise
        finally:
            self._running.discard(guard)

    def problem(self) -> str | None:
        """Return why nothing can be written, as far as it shows without a transaction."""
        return None

    async def close(self) -> None:
        """Abandon what runs, and close every connection."""
        for guard in self._running:
            guard.abandon()
        # Shielded: a cancelled caller would leave connections open.
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self._threads.shutdown(cancel_futures=True)  # waits for what commits
        self.engine.dispose()


#: Connections that stay open, and more for a peak: each holds a megabyte, 5 keep one core busy.
POOL_SIZE, MAX_OVERFLOW = 5, 5


class PostgresExecutor(Executor):
    """A PostgreSQL database; an abandoned transaction is ended with its connection."""

    def __init__(self, url: URL, timeout: float, server_timeout: int) -> None:
        limit = server_timeout * 1000
        limits = {
            "statement_timeout": limit,
            # A stopped process that has the lease's row locked must not block its successor.
            "idle_in_transaction_session_timeout": limit,
            "lock_timeout": limit // 2,
        }
        self._limits = "; ".join(f"SET LOCAL {name} = {value}" for name, value in limits.items())
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,  # errors are logged, without the values of their statements
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
            connect_args={
                "application_name": "cancel-restore",
                "client_encoding": "utf8",  # of a database in SQL_ASCII the driver returns bytes
                "connect_timeout": round(timeout),
                "keepalives_idle": server_timeout,
                "tcp_user_timeout": limit,
                "prepare_threshold": None,  # a pooler may give each transaction another session
            },
        )
        super().__init__(engine, POOL_SIZE + MAX_OVERFLOW)
        self._driver_error = engine.dialect.loaded_dbapi.Error
        event.listen(engine, "checkout", self._check_out)
        event.listen(engine, "checkin", self._check_in)

    def _check_out(self, connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - the driver's own
        """Test a connection, and limit its transaction; a lost one is replaced by a new one.

        The engine's own test would run before this event, and no guard could end it. The limits are
        no options of the connection, because PgBouncer refuses those, and may give the next
        transaction another session.
        """
        guard = GUARD.get()
        guard.ends_by(partial(self._hang_up, connection))
        try:
            connection.execute(self._limits)
        except self._driver_error as error:
            if guard.abandoned:
                raise
            raise InvalidatePoolError from error

    def _check_in(self, _connection: object, _record: object) -> None:
        GUARD.get().ends_by(None)  # another transaction may use it from now on

    def _hang_up(self, connection: Any) -> None:  # noqa: ANN401 - the driver's own
        """Shut the socket down: a thread that waits for the server then reads its end."""
        closed = (OSError, self._driver_error)
        with suppress(*closed), socket.socket(fileno=os.dup(connection.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)
