"""Limits the connections of the HTTP server, and the time in which a request must arrive.

An open connection needs a file descriptor, and anyone who reaches the port can open many of them
without sending a request. At the limit, a new connection replaces the one that has waited longest
for its request, so that health checks are answered.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from bot.log_throttle import LogThrottle

#: Seconds from the first byte of a request to the end of its head, and from there to its last byte.
HEAD_TIMEOUT = 10.0
BODY_TIMEOUT = 10.0

#: Seconds that a connection may stay open without a byte: longer than common load balancers keep
#: theirs, so that they close it and not the bot.
IDLE_TIMEOUT = 75.0

#: Seconds for which the rest of a body is read after its request was refused: a client that still
#: sends would not read the answer otherwise.
LINGER_TIMEOUT = 2.0

#: Connections at most: a third of the file descriptors, and as many again may wait to be accepted.
#: The last third is left for Slack, Atlas and the database.
DESCRIPTORS_PER_CONNECTION = 3
MIN_CONNECTIONS, MAX_CONNECTIONS = 8, 1000
MAX_BACKLOG = 128

log = structlog.stdlib.get_logger(__name__)


def max_connections(descriptors: int) -> int:
    """Return how many connections may be open where a process may open `descriptors` files."""
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, descriptors // DESCRIPTORS_PER_CONNECTION))


class ConnectionLimiter:
    """The open connections of a server, in the order in which they began to wait for a request.

    By default as many may be open as the file descriptors allow.
    """

    def __init__(
        self,
        limit: int | None = None,
        *,
        head_timeout: float = HEAD_TIMEOUT,
        body_timeout: float = BODY_TIMEOUT,
    ) -> None:
        self.limit = limit or max_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self.head_timeout = head_timeout
        self._body_timeout = body_timeout
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}  # an ordered set
        self._evictions = LogThrottle()

    def opened(self, connection: "Connection") -> None:
        """Add a connection; at the limit, close the one that has waited longest."""
        self._open.add(connection)
        self._waiting[connection] = None
        if len(self._open) > self.limit:
            oldest = next(iter(self._waiting))
            self.closed(oldest)
            oldest.abort()
            if count := self._evictions.count():
                log.warning(
                    "closed connections that sent no request, as too many are open",
                    closed=count,
                    limit=self.limit,
                )

    def closed(self, connection: "Connection") -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    @web.middleware
    async def receive(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Read the whole request, and protect its connection while it is answered.

        Requests that do not arrive get no log line: anyone can send them.
        """
        connection = request.protocol
        if not isinstance(connection, Connection):
            raise TypeError("this server must use the connections of `connection_factory`")
        connection.begin_request()
        try:
            if (problem := await self._read(request)) is not None:
                return problem
            self._waiting.pop(connection, None)
            return await handler(request)
        finally:
            connection.end_request()
            if connection in self._open:  # not if it was closed in the meantime
                self._waiting[connection] = None

    async def _read(self, request: web.Request) -> web.Response | None:
        try:
            async with asyncio.timeout(self._body_timeout):
                await request.read()
        except TimeoutError:
            return _refuse(408, "The body of this request did not arrive in time.")
        except (web.RequestPayloadError, ConnectionError):
            return _refuse(400, "The body of this request cannot be read.")
        return None


class Connection(web.RequestHandler):
    """One connection, which ends when the head of a request does not arrive in time."""

    __slots__ = ("_head_timer", "_in_request", "_limiter")

    def __init__(self, server: web.Server, limiter: ConnectionLimiter, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._limiter = limiter
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_request = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._limiter.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and not self._in_request:
            loop, timeout = asyncio.get_running_loop(), self._limiter.head_timeout
            self._head_timer = loop.call_later(timeout, self.abort)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.begin_request()
        self._limiter.closed(self)
        super().connection_lost(exc)

    def begin_request(self) -> None:
        """Stop the timer: the head of a request has arrived."""
        self._in_request = True
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def end_request(self) -> None:
        """Allow the timer of the next request."""
        self._in_request = False

    def abort(self) -> None:
        """Close the connection at once, even if the peer does not read what was sent to it."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


def connection_factory(server: web.Server, limiter: ConnectionLimiter) -> Callable[[], Connection]:
    """Return what creates the protocol of each connection that is accepted."""
    return lambda: Connection(
        server,
        limiter,
        keepalive_timeout=IDLE_TIMEOUT,
        lingering_time=LINGER_TIMEOUT,
        access_log=None,
        auto_decompress=False,  # Slack compresses nothing, and signs the body as it is sent
    )


def _refuse(status: int, why: str) -> web.Response:
    response = web.Response(status=status, text=why)
    response.force_close()
    return response
