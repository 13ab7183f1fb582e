"""PostgreSQL: its connections, and the limits that end what hangs."""

import os
import socket
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

from bot.storage.executor import GUARD, Executor

#: Connections that stay open, and more for a peak: each holds a megabyte, 5 keep one core busy.
POOL_SIZE, MAX_OVERFLOW = 5, 5
#: A parameter of the URL that the driver of earlier versions needed for poolers.
CACHE_SIZE = "prepared_statement_cache_size"


class PostgresExecutor(Executor):
    """A PostgreSQL database; an abandoned transaction is ended with its connection."""

    def __init__(self, url: URL, timeout: float, server_timeout: int) -> None:
        limit = server_timeout * 1000
        limits = {
            "statement_timeout": limit,
            # A replica that hangs with a row locked must not block the others for ever.
            "idle_in_transaction_session_timeout": limit,
        }
        given = url.query.get("options", "")
        engine = create_engine(
            url.set(drivername="postgresql+psycopg").difference_update_query([CACHE_SIZE]),
            hide_parameters=True,  # errors are logged, without the values of their statements
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
            connect_args={
                "application_name": "cancel-restore",
                "connect_timeout": round(timeout),
                "keepalives_idle": server_timeout,
                "tcp_user_timeout": limit,
                "options": " ".join([f"{given}", *(f"-c {k}={v}" for k, v in limits.items())]),
                "prepare_threshold": None,  # a pooler may give each transaction another session
            },
        )
        super().__init__(engine, POOL_SIZE + MAX_OVERFLOW)
        self._driver_error = engine.dialect.loaded_dbapi.Error
        event.listen(engine, "checkout", self._check_out)
        event.listen(engine, "checkin", self._check_in)

    def _check_out(self, connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - the driver's own
        """Test a connection: after a restart of the server another one is opened.

        The engine's own test would run before this event, and no guard could end it.
        """
        guard = GUARD.get()
        guard.ends_by(partial(self._hang_up, connection))
        try:
            self.engine.dialect.do_ping(connection)
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
