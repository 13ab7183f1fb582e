"""The HTTP server: limits its connections, starts, drains and stops.

An open connection needs a file descriptor, and anyone who reaches the port can open many of them
without sending a request. At the limit, a new connection replaces the one that has waited longest
for its request, so that health checks are answered.
"""

import asyncio
import errno
import os
from dataclasses import dataclass, field
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from bot.log_config import LogThrottle

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
    if descriptors == RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, descriptors // DESCRIPTORS_PER_CONNECTION))


@dataclass(eq=False)
class ConnectionLimiter:
    """The open connections of a server, in the order in which they began to wait for a request."""

    limit: int = field(default_factory=lambda: max_connections(getrlimit(RLIMIT_NOFILE)[0]))

    def __post_init__(self) -> None:
        self._open: set[HttpConnection] = set()
        self._waiting: dict[HttpConnection, None] = {}  # an ordered set
        self._evictions = LogThrottle()

    def opened(self, connection: "HttpConnection") -> None:
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

    def closed(self, connection: "HttpConnection") -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    @web.middleware
    async def receive(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Read the whole request, and protect its connection while it is answered.

        Requests that do not arrive get no log line: anyone can send them.
        """
        connection = cast(HttpConnection, request.protocol)  # `WebServer.start` creates no other
        try:
            await request.read()
        except (web.RequestPayloadError, ConnectionError):
            response = web.Response(status=400, text="The body of this request cannot be read.")
            response.force_close()
            return response
        self._waiting.pop(connection, None)
        try:
            return await handler(request)
        finally:
            if connection in self._open:  # not if it was closed in the meantime
                self._waiting[connection] = None


class HttpConnection(web.RequestHandler):
    """One connection, which its limiter knows while it is open."""

    __slots__ = ("_limiter",)

    def __init__(self, server: web.Server, limiter: ConnectionLimiter) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_TIMEOUT,
            lingering_time=LINGER_TIMEOUT,
            access_log=None,  # type: ignore[arg-type]  # aiohttp documents None: no access log
            auto_decompress=False,  # Slack compresses nothing, and signs the body as it is sent
        )
        self._limiter = limiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._limiter.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._limiter.closed(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection immediately, even if the peer does not read what was sent to it."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


class WebError(Exception):
    """The HTTP server could not start; the text is a sentence with the fix."""


class PortTaken(WebError):
    """Another program already listens on the port."""


class WebServer:
    """Serves one aiohttp application; requests in flight get `grace` seconds when it stops.

    Before, `begin_shutdown` makes readiness fail, which removes the replica from a load balancer. A
    connection that the balancer keeps open closes with its next response, so that the following
    request goes to another replica.
    """

    def __init__(
        self,
        host: str,
        port: int,
        app: web.Application,
        *,
        grace: float = 10.0,
        limiter: ConnectionLimiter | None = None,
    ) -> None:
        self._host = host
        self.port = port  # the one in use, once started; 0 selects a free one
        self._limiter = limiter or ConnectionLimiter()
        self.problem: str | None = None  # the sentence for `/readyz`, once shutdown has begun
        app.middlewares.insert(0, self._limiter.receive)
        app.on_response_prepare.append(self._close_at_shutdown)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=grace)
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raises `PortTaken`, or another `WebError` if the address cannot be used."""
        await self._runner.setup()
        server = cast(web.Server, self._runner.server)  # `setup` creates it
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: HttpConnection(server, self._limiter),
                self._host,
                self.port,
                backlog=min(self._limiter.limit, MAX_BACKLOG),
            )
        except (OSError, UnicodeError) as error:
            await self._runner.cleanup()
            raise self._explained(error) from error
        self.port = int(self._listener.sockets[0].getsockname()[1])

    def _explained(self, error: OSError | UnicodeError) -> WebError:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return PortTaken(
                f"Port {self.port} of {self._host} is taken by another program: "
                "stop it, or set PORT to another."
            )
        where = f"{self._host}, port {self.port}"
        return WebError(f"Cannot listen on {where} ({_reason(error)}): check HOST and PORT.")

    def begin_shutdown(self) -> None:
        self.problem = "The bot is stopping: another replica takes over."

    async def _close_at_shutdown(
        self, _request: web.BaseRequest, response: web.StreamResponse
    ) -> None:
        if self.problem:
            response.force_close()
            response.headers["Connection"] = "close"

    async def stop(self) -> None:
        """Stop listening, wait for requests in flight, and close."""
        if self._listener:
            self._listener.close()
        await self._runner.cleanup()


def _reason(error: OSError | UnicodeError) -> str:
    """Return the reason without the address that asyncio repeats in its message.

    Newer versions of Python skip addresses that do not belong to this machine, and raise an error
    without a number when none is left.
    """
    if isinstance(error, UnicodeError):
        return "it is not a name of a host"
    if error.errno is None or error.errno == errno.EADDRNOTAVAIL:
        return "it is not an address of this machine"
    if error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or "unknown").lower()  # a name that could not be resolved
