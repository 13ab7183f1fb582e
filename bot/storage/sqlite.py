"""SQLite: its connections, and whether its file can be written."""

import os
import sqlite3
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, StaticPool, create_engine, event
from sqlalchemy.exc import OperationalError

from bot.storage.executor import GUARD, WRITES, Executor

THREADS = 2  #: one to write, one to read: each more keeps a connection and memory of its own
#: Bytes of free disk below which the database counts as full: a few dozen requests.
MIN_FREE_BYTES = 1024 * 1024
#: Seconds for which SQLite itself waits for the write lock: nothing ends that wait, and a stop must
#: not wait for it.
LOCK_STEP = 0.1
IN_MEMORY = ":memory:"  #: for tests: one connection that all transactions share


class SqliteExecutor(Executor):
    """A SQLite file."""

    def __init__(self, url: URL, timeout: float) -> None:
        self._path = None if url.database == IN_MEMORY else Path(url.database or "")
        # The connection that was used last has the latest pages in its cache.
        pool = {"pool_use_lifo": True} if self._path else {"poolclass": StaticPool}
        arguments = {} if self._path else {"check_same_thread": False}
        # Errors are logged, without the values of their statements.
        engine = create_engine(url, hide_parameters=True, connect_args=arguments, **pool)
        event.listen(engine, "connect", partial(_configure, timeout))
        event.listen(engine, "begin", partial(_begin, timeout))
        super().__init__(engine, THREADS if self._path else 1)

    def problem(self) -> str | None:
        if self._path is None:
            return None
        try:
            disk = os.statvfs(self._path.parent)
        except OSError as error:
            return str(error)
        if not os.access(self._path, os.W_OK):
            return "the file cannot be written"
        has_space = disk.f_bavail * disk.f_frsize >= MIN_FREE_BYTES
        return None if has_space else "the disk is full"


def _configure(timeout: float, connection: sqlite3.Connection, _record: object) -> None:
    # Turns the driver's implicit BEGIN off: `_begin` distinguishes reads from writes.
    connection.isolation_level = None
    _limit_waits(connection, timeout)
    # The first start switches a new file, and tries again where another one does so just now.
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA synchronous = FULL").close()  # a commit survives a power failure
    connection.execute("PRAGMA cache_size = -256").close()  # kB: the system has the file, too
    connection.execute("PRAGMA foreign_keys = ON").close()


def _limit_waits(connection: Any, timeout: float) -> None:  # noqa: ANN401 - the driver's own
    connection.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}").close()


def _begin(timeout: float, connection: Connection) -> None:
    if not connection.get_execution_options().get(WRITES, True):
        connection.exec_driver_sql("BEGIN")
        return
    _limit_waits(connection.connection, LOCK_STEP)
    try:
        _begin_write(timeout, connection)
    finally:
        _limit_waits(connection.connection, timeout)


def _begin_write(timeout: float, connection: Connection) -> None:
    """Wait for the write lock, but not longer than the transaction is wanted."""
    guard, until = GUARD.get(), time.monotonic() + timeout
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            is_locked = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            if not is_locked or guard.abandoned or time.monotonic() >= until:
                raise
        else:
            return


def keep_private(url: URL) -> None:
    """Create the file readable by its owner only: it holds ids and reasons."""
    if url.database == IN_MEMORY:
        return
    path = Path(url.database or "")
    with suppress(OSError):  # opening it reports what is wrong with the path
        path.touch(mode=0o600, exist_ok=True)
