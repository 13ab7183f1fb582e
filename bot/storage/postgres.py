"""The ledger's transactions on PostgreSQL, in the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode
from weakref import WeakSet

import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import URL, Connection

T = TypeVar("T")

#: Seconds for a connection to the server, and for a free one of the pool.
CONNECTED = 2.0

#: Connections that stay open, and those more that a rush may open, which are closed after it: each
#: holds more than a megabyte of prepared statements. 5 keep one core of Python busy.
STAYING, FOR_A_MOMENT = 5, 5

#: Seconds for a farewell to the server, before the connections are cut.
CLOSE_TIMEOUT = 1.0

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

#: SQLAlchemy's names of libpq's parameters.
ALIASES = {"ssl": "sslmode"}

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
        timeout = min(timeout, CONNECTED)
        ended = f"{server_timeout * 1000}"
        address, arguments = to_asyncpg(url)
        self._engine = create_async_engine(
            address,
            pool_size=STAYING,
            max_overflow=FOR_A_MOMENT,
            pool_timeout=timeout,
            pool_pre_ping=True,  # a restarted server costs one ping, not one lost click
            connect_args={
                **arguments,
                "timeout": timeout,
                "command_timeout": server_timeout,
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
        done, _ = await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)
        if not done:
            log.warning("database does not answer, so its connections are cut")
        # Those too that a transaction which was given up still has: the pool leaves them alone, and
        # the driver would wait for their server, whoever cancels it.
        for connection in self._open:
            connection.terminate()
        await closing
