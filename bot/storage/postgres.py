"""Runs transactions on PostgreSQL, in the event loop."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import create_async_engine

T = TypeVar("T")
#: Connections that stay open, and more for a peak: each holds a megabyte, 5 keep one core busy.
POOL_SIZE, MAX_OVERFLOW = 5, 5
CLOSE_TIMEOUT = 1.0  #: seconds for closing the connections in order, before they are terminated
DRIVER = "postgresql+asyncpg"
#: Parameters of the URL that SQLAlchemy reads; libpq's other parameters are passed to the driver.
SQLALCHEMY_PARAMETERS = frozenset({"prepared_statement_cache_size"})
#: Parameters that only libpq knows: asyncpg would send them as server settings, and be refused.
LIBPQ_PARAMETERS = frozenset(
    {
        *("channel_binding", "connect_timeout", "fallback_application_name", "gssencmode"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("sslcompression", "sslsni", "tcp_user_timeout"),
    }
)
ALIASES = {"ssl": "sslmode"}  #: SQLAlchemy's names of libpq's parameters

log = structlog.get_logger(__name__)


def to_asyncpg(url: URL) -> tuple[URL, Mapping[str, str]]:
    """Split a PostgreSQL URL into the one for SQLAlchemy and asyncpg's own arguments.

    SQLAlchemy passes the URL's parameters as arguments by name, and asyncpg has none named
    `sslmode` or `sslrootcert`. In a DSN of its own it reads them all:
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    ours = {name: url.query[name] for name in url.query if name in SQLALCHEMY_PARAMETERS}
    rest = url.query.keys() - ours.keys() - LIBPQ_PARAMETERS
    theirs = {ALIASES.get(name, name): url.query[name] for name in sorted(rest)}
    plain = url.set(drivername=DRIVER, query=ours)
    return plain, {"dsn": f"postgresql://?{urlencode(theirs, doseq=True)}"} if theirs else {}


class PostgresExecutor:
    """A PostgreSQL database, in the event loop."""

    def __init__(self, url: URL, timeout: float, server_timeout: int) -> None:
        ended = f"{server_timeout * 1000}"
        address, arguments = to_asyncpg(url)
        self._engine = create_async_engine(
            address,
            hide_parameters=True,  # errors are logged, without the values of their statements
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
            pool_timeout=timeout,
            pool_pre_ping=True,  # after a restart of the server, reconnect instead of failing
            connect_args={
                **arguments,
                "timeout": timeout,
                "command_timeout": server_timeout,
                "server_settings": {
                    "application_name": "cancel-restore",
                    # A replica that hangs with a row locked must not block the others for ever.
                    "idle_in_transaction_session_timeout": ended,
                    "lock_timeout": ended,
                },
            },
        )
        self.engine = self._engine.sync_engine
        self._connections: WeakSet[Any] = WeakSet()  # the driver's, to terminate at the end
        event.listen(self.engine, "connect", self._connected)

    def _connected(self, connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        self._connections.add(connection.driver_connection)

    async def run(self, work: Callable[[Connection], T], options: Mapping[str, Any]) -> T:
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(**options)
                return await connection.run_sync(work)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise OSError(str(error)) from error  # SQLAlchemy wraps no error while it connects

    def problem(self) -> str | None:
        return None

    async def close(self) -> None:
        # Not cancelled on a timeout: the pool would log an error.
        closing = asyncio.ensure_future(self._engine.dispose())
        done, _ = await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)
        if not done:
            log.warning("database does not answer: its connections are terminated")
        # Including those of abandoned transactions: the pool does not close them, and the driver
        # would wait for the server even when cancelled.
        for connection in self._connections:
            connection.terminate()
        await closing
