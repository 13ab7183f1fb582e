"""Serves `/healthz`, `/readyz` and `/metrics`, and nothing else."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.web.metrics import Metrics

CLOSE_TIMEOUT = 0.5  #: seconds for open connections at the end
IDLE_TIMEOUT = 10.0  #: seconds that a connection may stay open between two requests
CHECK_TIMEOUT = 4.0  #: seconds for an answer of `/readyz`, within the five of common probes

FIRST_ROLE = "standby"  #: before a check has given the role

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the process can do its work; `problems` has a sentence for each part that cannot."""

    role: str
    problems: dict[str, str] = field(default_factory=dict)


class PortInUse(Exception):
    """The port cannot be opened; the text is a sentence for people."""


class WebServer:
    """The HTTP side of the bot."""

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        readiness: Callable[[], Awaitable[Readiness]],
    ) -> None:
        self._host, self._port = host, port
        self._metrics, self._readiness = metrics, readiness
        self._runner: web.AppRunner | None = None
        self._role = FIRST_ROLE  # as the last check gave it

    @property
    def port(self) -> int:
        """The port, also where the settings let the system choose one."""
        addresses = self._runner.addresses if self._runner else []
        return int(addresses[0][1]) if addresses else self._port

    async def start(self) -> None:
        """Open the port; raises `PortInUse`."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT, keepalive_timeout=IDLE_TIMEOUT
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except (OSError, UnicodeError) as error:  # the latter of a name that no host can have
            await self.stop()
            raise PortInUse(self._problem(error)) from error

    def _problem(self, error: OSError | UnicodeError) -> str:
        """Return the sentence about a port that cannot be opened."""
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            return (
                f"PORT {self._port} of HOST {self._host} is in use by another program. "
                "Stop that program, or set another PORT."
            )
        why = getattr(error, "strerror", None) or "it is not a name of a host"
        return (
            f"HOST {self._host} and PORT {self._port} cannot be opened ({why.lower()}). "
            "Set HOST to an address of this machine, and PORT to one that may be used."
        )

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        readiness = await self._checked()
        body = {
            "role": readiness.role,
            "ok": not readiness.problems,
            "problems": readiness.problems,
        }
        return web.json_response(body, status=503 if readiness.problems else 200)

    async def _checked(self) -> Readiness:
        """Ask for the readiness; a check that hangs or fails is a problem of its own."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                readiness = await self._readiness()
        except TimeoutError:
            why = f"No answer within {CHECK_TIMEOUT:g} seconds."
        except Exception as error:
            log.exception("readiness not checked")
            why = f"The check itself failed ({type(error).__name__}); the log has the details."
        else:
            self._role = readiness.role
            return readiness
        return Readiness(self._role, {"readiness": why})

    async def _serve_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )
