"""SQLite: its connections, and what happens to its files."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from sqlalchemy import URL, Connection, NullPool, create_engine, event

from bot.storage.executor import WRITES, Executor

THREADS = 2  #: one to write, one to read: each more keeps a connection and memory of its own
#: Bytes of free disk below which the database counts as full: a few dozen requests.
MIN_FREE_BYTES = 1024 * 1024
#: Why a file is not used any more.
FILE_REPLACED = "the file was deleted or replaced: put it back, or restart the bot"
#: Why a transaction is not begun while others end, whose log was removed.
LOG_REMOVED = "a file of the database (-wal, -shm) was removed"

log = structlog.get_logger(__name__)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # opening it reports what is wrong with the path
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode."""
    status = _stat(path)
    return status and (status.st_dev, status.st_ino)


def check_writable(path: Path) -> None:
    """Raise `OSError` for a file that cannot be written, or may not grow."""
    disk = os.statvfs(path.parent)
    if not os.access(path, os.W_OK):
        raise OSError("the file is read-only")
    if disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES:
        raise OSError("the disk is full")


class SqliteExecutor(Executor):
    """A SQLite file; `read_only` changes no byte of it."""

    def __init__(self, url: URL, timeout: float, *, read_only: bool = False) -> None:
        self._path = Path(url.database or "")
        self._read_only = read_only
        # The connection that was used last has the latest pages in its cache.
        arguments: dict[str, Any] = {
            "connect_args": {"factory": _SelfClosingConnection},
            "pool_use_lifo": True,
        }
        if read_only:  # without a pool: whether there is a log may be different each time
            opened = partial(_open_read_only, self._path, timeout)
            arguments = {"creator": opened, "poolclass": NullPool}
        # Errors are logged, without the values of their statements.
        engine = create_engine(url, hide_parameters=True, **arguments)
        if not read_only:
            event.listen(engine, "connect", partial(_configure, timeout))
        event.listen(engine, "begin", _begin)
        super().__init__(engine, THREADS)
        self._opened_file: tuple[int, int] | None = None
        self._lock = Lock()  # of the two below
        self._running = 0  # transactions
        self._log: tuple[tuple[int, int] | None, ...] = ()  # its files, while they are open

    @contextmanager
    def opened(self) -> Iterator[None]:
        self._check_file()
        with self._open_log():
            yield

    def problem(self) -> str | None:
        try:
            self._check_file()
            check_writable(self._path)
        except OSError as error:
            return str(error)
        return None

    def _check_file(self) -> None:
        """Raise `OSError` unless the path still names the file that was opened first.

        SQLite would write to the deleted file without an error, and lose everything at the end.
        """
        found = _identity(self._path)
        if self._opened_file is None:
            self._opened_file = found
        elif found != self._opened_file:
            raise OSError(FILE_REPLACED)

    @contextmanager
    def _open_log(self) -> Iterator[None]:
        """Run one transaction, and close the log's files if they were removed.

        Open connections would go on with the removed files, without an error, and a kill would lose
        what they wrote. The last one that closes copies it to the database. One that opened new
        files before that would not see it.
        """
        with self._lock:
            self._rescue_log()
            if self._log_is_lost():
                raise OSError(LOG_REMOVED)
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._rescue_log()
                self._log = self._log or self._log_files()

    def _log_files(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_identity(Path(f"{self._path}{suffix}")) for suffix in ("-wal", "-shm"))

    def _log_is_lost(self) -> bool:
        return not self._read_only and bool(self._log) and self._log != self._log_files()

    def _rescue_log(self) -> None:
        if not self._running and self._log_is_lost():
            self.engine.dispose()
            self._log = ()
            log.warning("SQLite's log was removed by another program; what it had is saved")


class _SelfClosingConnection(sqlite3.Connection):
    """Closes its file when it is deleted: a disposed pool drops connections without closing."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # its file could not be opened
            self.close()


def _has_log(path: Path) -> bool:
    return any(_stat(Path(f"{path}{suffix}")) for suffix in ("-wal", "-journal"))


def _open_read_only(path: Path, timeout: float) -> sqlite3.Connection:
    """Open the file with its log, else without a lock, for which SQLite would create files."""
    query = "mode=ro" if _has_log(path) else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        factory=_SelfClosingConnection,
    )
    # Text that another program stored may have any bytes; by default one of them ends the read.
    connection.text_factory = lambda text: text.decode(errors="backslashreplace")
    return connection


def _configure(timeout: float, connection: sqlite3.Connection, _record: object) -> None:
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
    path = Path(url.database or "")
    with suppress(OSError):  # opening it reports what is wrong with the path
        path.touch(mode=0o600, exist_ok=True)
