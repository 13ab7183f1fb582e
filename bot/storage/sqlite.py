"""Where the ledger's transactions run: SQLite in threads, here; PostgreSQL in the event loop.

Work is a plain function of a connection, so that SQLite costs one change of threads a transaction,
and not one a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import create_engine, event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import URL, Connection, Engine

T = TypeVar("T")

#: SQLite has one writer; this many transactions run beside each other, most of them reading.
THREADS = 4

#: Seconds for which a new file's switch to write-ahead logging is tried anew, while another replica
#: makes the same switch, and the seconds between.
SWITCHING = 2.0
BETWEEN_SWITCHES = 0.02

#: Marks the transactions that take SQLite's write lock at their start.
WRITES = "ledger_writes"


class TransactionExecutor(Protocol):
    """Runs transactions; whoever gives one cares for its commit."""

    #: What listeners are hung on.
    engine: Engine

    async def run(
        self, whole: Callable[[Connection], T], options: Mapping[str, Any] | None = None
    ) -> T:
        """Run `whole` on a connection with these execution options; what it left open is undone."""

    async def close(self) -> None:
        """Close every connection, whether or not the database answers."""


def open_executor(url: URL, timeout: float, server_timeout: int) -> TransactionExecutor:
    """Make a store; nothing is opened yet.

    Args:
        url: which database.
        timeout: seconds for a connection, or for the turn to write.
        server_timeout: seconds after which PostgreSQL or its driver end a statement by themselves.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteExecutor(url, timeout)
    # Loaded for those who use it: SQLAlchemy's async side brings its ORM along, 6 MB of memory.
    from bot.storage.postgres import PostgresExecutor  # noqa: PLC0415 - see above

    return PostgresExecutor(url, timeout, server_timeout)


class SqliteExecutor:
    """A SQLite file, in threads of its own."""

    def __init__(self, url: URL, timeout: float) -> None:
        self.engine = create_engine(url, connect_args={"factory": _Closing})
        event.listen(self.engine, "connect", partial(_set_up, timeout))
        event.listen(self.engine, "begin", _begin)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ledger")

    async def run(
        self, whole: Callable[[Connection], T], options: Mapping[str, Any] | None = None
    ) -> T:
        def in_thread() -> T:
            with self.engine.connect().execution_options(**options or {}) as connection:
                return whole(connection)

        # With the context of whoever waits, for the log and the spans.
        in_context = partial(copy_context().run, in_thread)
        return await asyncio.get_running_loop().run_in_executor(self._threads, in_context)

    async def close(self) -> None:
        # Goes on where whoever waits is cancelled: else a file would stay open.
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        # What runs still, SQLite itself ends when the timeout for its lock is over.
        self._threads.shutdown(cancel_futures=True)
        self.engine.dispose()


class _Closing(sqlite3.Connection):
    """Closes its file when it is dropped: the pool forgets one that comes back after the end."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # a file that could not be opened: nothing is open
            self.close()


def _set_up(timeout: float, connection: sqlite3.Connection, _record: object) -> None:
    # The driver's implicit BEGIN is off: ours says which transactions write.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}").close()
    _write_ahead(connection)
    for pragma in (
        "synchronous = FULL",  # an acknowledged request survives a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Log ahead of writing. A new file is switched once, and for that SQLite itself never waits."""
    until = time.monotonic() + SWITCHING
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(BETWEEN_SWITCHES)
        else:
            return


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def keep_private(url: URL) -> None:
    """Create the file for its owner alone: it holds ids and reasons."""
    path = Path(url.database or "")
    with suppress(OSError):  # what is wrong with the path, its first use tells
        path.touch(mode=0o600, exist_ok=True)
