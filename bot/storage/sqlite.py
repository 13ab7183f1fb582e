"""SQLite: its connections, and whether its file can be written."""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from sqlite3 import Connection as Sqlite3Connection

from sqlalchemy import URL, Connection, StaticPool, create_engine, event

from bot.storage.executor import WRITES, Executor

THREADS = 2  #: one to write, one to read: each more keeps a connection and memory of its own
#: Bytes of free disk below which the database counts as full: a few dozen requests.
MIN_FREE_BYTES = 1024 * 1024
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
        event.listen(engine, "begin", _begin)
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


def _configure(timeout: float, connection: Sqlite3Connection, _record: object) -> None:
    # Turns the driver's implicit BEGIN off: `_begin` distinguishes reads from writes.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}").close()
    # The first start switches a new file, and tries again where another one does so just now.
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA synchronous = FULL").close()  # a commit survives a power failure
    connection.execute("PRAGMA cache_size = -256").close()  # kB: the system has the file, too
    connection.execute("PRAGMA foreign_keys = ON").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def keep_private(url: URL) -> None:
    """Create the file readable by its owner only: it holds ids and reasons."""
    if url.database == IN_MEMORY:
        return
    path = Path(url.database or "")
    with suppress(OSError):  # opening it reports what is wrong with the path
        path.touch(mode=0o600, exist_ok=True)
