"""Starts, drains and stops the HTTP server, and answers its health checks."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog
from aiohttp import web

from bot.web.connections import MAX_BACKLOG, ConnectionLimiter, connection_factory


class WebError(Exception):
    """The HTTP server could not start; the text is a sentence with the fix."""


class PortTaken(WebError):
    """Another program already listens on the port."""


class ShutdownState:
    """Whether shutdown has begun. From then on `/readyz` fails and each response closes.

    The failing readiness removes the replica from a load balancer. A connection that the balancer
    keeps open closes with its current response, so that the next request goes to another replica.
    """

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        self._begun = True

    @property
    def problem(self) -> str | None:
        """The sentence for `/readyz`, or None while the bot runs."""
        return "The bot is stopping: another replica takes over." if self._begun else None

    def watch(self, app: web.Application) -> None:
        """Close the connections of `app` with their next response, once shutdown has begun."""

        async def close(_request: web.BaseRequest, response: web.StreamResponse) -> None:
            if self._begun:
                response.force_close()
                response.headers["Connection"] = "close"

        app.on_response_prepare.append(close)


class WebServer:
    """Serves one aiohttp application; requests in flight get `grace` seconds when it stops."""

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
        self._port = port
        self._limiter = limiter or ConnectionLimiter()
        app.middlewares.insert(0, self._limiter.receive)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=grace)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port in use, once started; 0 selects a free one."""
        return self._port

    async def start(self) -> None:
        """Listen; raises `PortTaken`, or another `WebError` if the address cannot be used."""
        await self._runner.setup()
        if (server := self._runner.server) is None:
            raise AssertionError("`setup` creates the server")
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                connection_factory(server, self._limiter),
                self._host,
                self._port,
                backlog=min(self._limiter.limit, MAX_BACKLOG),
            )
        except (OSError, UnicodeError) as error:
            await self._runner.cleanup()
            raise self._explained(error) from error
        self._port = int(self._listener.sockets[0].getsockname()[1])

    def _explained(self, error: OSError | UnicodeError) -> WebError:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return PortTaken(
                f"Port {self._port} of {self._host} is taken by another program: "
                "stop it, or set PORT to another."
            )
        where = f"{self._host}, port {self._port}"
        return WebError(f"Cannot listen on {where} ({_reason(error)}): check HOST and PORT.")

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


#: Returns None on success, otherwise a sentence that names the problem.
Check: TypeAlias = Callable[[], Awaitable[str | None]]

#: Seconds for each check; probes usually have a slightly longer timeout.
CHECK_TIMEOUT = 2.0

log = structlog.stdlib.get_logger(__name__)


def add_health(
    app: web.Application, checks: Mapping[str, Check], timeout: float = CHECK_TIMEOUT
) -> None:
    """Serve `/healthz`, and `/readyz` with the result of each check by its name."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        failed = await run_checks(checks, timeout)
        body = {"ready": not failed, "checks": dict.fromkeys(checks, "ok") | failed}
        return web.json_response(body, status=503 if failed else 200)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


async def run_checks(checks: Mapping[str, Check], timeout: float = CHECK_TIMEOUT) -> dict[str, str]:
    """Run all checks concurrently; return the sentences of those that failed."""
    results = await asyncio.gather(*(_run(name, c, timeout) for name, c in checks.items()))
    return {name: why for name, why in zip(checks, results, strict=True) if why is not None}


async def _run(name: str, check: Check, timeout: float) -> str | None:
    try:
        async with asyncio.timeout(timeout):
            return await check()
    except TimeoutError:
        return f"No answer within {timeout:g} seconds."
    except Exception as error:
        log.exception("health check failed", check=name)
        return f"The check itself failed ({type(error).__name__}); the log has the details."
