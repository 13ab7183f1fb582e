"""Where the ledger's transactions run: SQLite in threads, PostgreSQL in the event loop.

Work is a plain function of a connection, so that SQLite costs one change of threads a transaction,
and not one a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakSet

import structlog
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine

from bot.cancellation.address import for_the_driver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import URL, Connection, Engine

T = TypeVar("T")

#: SQLite has one writer; this many transactions run beside each other, most of them reading.
THREADS = 4

#: Seconds for a connection to a server, and for a free one of the pool.
CONNECTED = 2.0

#: Seconds for a farewell to a server, before the connections are cut.
FAREWELL = 1.0

#: Marks the transactions that take SQLite's write lock at their start.
WRITES = "ledger_writes"

log = structlog.get_logger(__name__)


class Store(Protocol):
    """Runs transactions; whoever gives one cares for its commit."""

    #: What listeners are hung on.
    engine: Engine

    async def run(
        self, whole: Callable[[Connection], T], options: Mapping[str, Any] | None = None
    ) -> T:
        """Run `whole` on a connection with these execution options; what it left open is undone."""

    async def close(self) -> None:
        """Close every connection, whether or not the database answers."""


def open_store(url: URL, patience: float, ended_after: int) -> Store:
    """Make a store; nothing is opened yet.

    Args:
        url: which database.
        patience: seconds for a connection, or for the turn to write.
        ended_after: seconds after which PostgreSQL or its driver end a statement by themselves.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteStore(url, patience)
    return PostgresStore(url, min(patience, CONNECTED), ended_after)


class SqliteStore:
    """A SQLite file, in threads of its own."""

    def __init__(self, url: URL, patience: float) -> None:
        self.engine = create_engine(url, connect_args={"factory": _Closing})
        event.listen(self.engine, "connect", partial(_set_up, patience))
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
        # What runs still, SQLite itself ends when the patience for its lock is over.
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self.engine.dispose()


class PostgresStore:
    """A PostgreSQL database, in the event loop."""

    def __init__(self, url: URL, patience: float, ended_after: int) -> None:
        ended = f"{ended_after * 1000}"
        address, arguments = for_the_driver(url)
        self._engine = create_async_engine(
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
        self.engine = self._engine.sync_engine
        self._open: WeakSet[Any] = WeakSet()  # the driver's connections, to cut them at the end
        event.listen(self.engine, "connect", self._opened)

    def _opened(self, connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        self._open.add(connection.driver_connection)

    async def run(
        self, whole: Callable[[Connection], T], options: Mapping[str, Any] | None = None
    ) -> T:
        async with self._engine.connect() as connection:
            await connection.execution_options(**options or {})
            return await connection.run_sync(whole)

    async def close(self) -> None:
        # Not cancelled: the pool would log that as an error of its own.
        closing = asyncio.ensure_future(self._engine.dispose())
        done, _ = await asyncio.wait({closing}, timeout=FAREWELL)
        if not done:
            log.warning("database does not answer, so its connections are cut")
            for connection in self._open:
                connection.terminate()
        await closing


class _Closing(sqlite3.Connection):
    """Closes its file when it is dropped: the pool forgets one that comes back after the end."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # a file that could not be opened: nothing is open
            self.close()


def _set_up(patience: float, connection: sqlite3.Connection, _record: object) -> None:
    # The driver's implicit BEGIN is off: ours says which transactions write.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {round(patience * 1000)}",
        "journal_mode = WAL",
        "synchronous = FULL",  # an acknowledged request survives a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def keep_private(url: URL) -> None:
    """Create the file for its owner alone: it holds ids and reasons."""
    path = Path(url.database or "")
    with suppress(OSError):  # what is wrong with the path, its first use tells
        path.touch(mode=0o600, exist_ok=True)
