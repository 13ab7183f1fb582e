"""How payloads reach the bot: Socket Mode or HTTP, each with a live check and an orderly end."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

from bot.slack.errors import CALL_ERRORS, meaning_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_bolt.async_app import AsyncApp
    from slack_sdk.socket_mode.aiohttp import SocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest
    from slack_sdk.web.async_client import AsyncWebClient

#: Seconds between pings: how soon a cut connection is noticed, and the pause between two attempts.
PING = 3.0

#: Seconds for which a good `auth.test` proves that Slack is reached; readiness allows a minute.
PROOF = 30.0

log = structlog.get_logger(__name__)


class Intake(Protocol):
    """Where payloads come from."""

    def open(self, app: AsyncApp) -> None:
        """Let payloads in; connecting goes on by itself."""

    async def trouble(self) -> str | None:
        """Say why nothing can reach the bot, or nothing when all is well."""

    async def stop(self, seconds: float) -> None:
        """Let nothing more in, and wait `seconds` at most for the answers under way."""


class InFlight:
    """Counts what is being answered: `with in_flight: …`."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._count += 1
        self._idle.clear()

    def __exit__(self, *_error: object) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def idle(self, seconds: float) -> None:
        """Wait until nothing is in flight, `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


class Envelopes(AsyncSocketModeHandler):
    """Bolt's own handler, which also counts the envelopes that it is at.

    Must be built inside the running loop: Slack's client starts a task at once.
    """

    def __init__(self, app: AsyncApp, app_token: str, client: AsyncWebClient) -> None:
        super().__init__(app, app_token, web_client=client, ping_interval=PING)
        self.in_flight = InFlight()

    async def handle(  # type: ignore[override]  # as Bolt itself narrows it
        self, client: SocketModeClient, req: SocketModeRequest
    ) -> None:
        with self.in_flight:
            await super().handle(client, req)


class SocketIntake:
    """Socket Mode: one connection, opened by the bot.

    Args:
        app_token: `xapp-…`.
        client: the Web API; the app token is used for the one call that needs it.
    """

    def __init__(self, app_token: str, client: AsyncWebClient) -> None:
        self._app_token = app_token
        self._client = client
        self._envelopes: Envelopes | None = None
        self._connecting: asyncio.Task[None] | None = None

    def open(self, app: AsyncApp) -> None:
        self._envelopes = Envelopes(app, self._app_token, self._client)
        connecting = self._envelopes.client.connect()  # type: ignore[no-untyped-call]  # the SDK's
        self._connecting = asyncio.create_task(connecting)

    async def trouble(self) -> str | None:
        if self._envelopes and await self._envelopes.client.is_connected():
            return None
        return "Socket Mode is not connected: check SLACK_APP_TOKEN and the network."

    async def stop(self, seconds: float) -> None:
        if self._envelopes is None or self._connecting is None:
            return
        await self._envelopes.in_flight.idle(seconds)
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)
        await self._envelopes.client.close()  # type: ignore[no-untyped-call]  # the SDK's


class HttpIntake:
    """HTTP mode: Slack posts to us; what is not signed never gets here.

    Args:
        client: the Web API, to prove that the token works.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, client: AsyncWebClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._app: AsyncApp | None = None
        self._in_flight = InFlight()
        self._proved_at: float | None = None

    def add_route(self, site: web.Application, path: str) -> None:
        """Serve Slack's payloads at `path`."""
        site.router.add_post(path, self._handle)

    def open(self, app: AsyncApp) -> None:
        self._app = app

    async def trouble(self) -> str | None:
        if self._app is None:
            return "The bot is starting, or stopping."
        if self._proved_at is not None and self._clock() - self._proved_at < PROOF:
            return None
        return await self._prove()

    async def stop(self, seconds: float) -> None:
        self._app = None
        await self._in_flight.idle(seconds)

    async def _prove(self) -> str | None:
        try:
            await self._client.auth_test()
        except CALL_ERRORS as error:
            self._proved_at = None
            return meaning_of(error).sentence
        self._proved_at = self._clock()
        return None

    async def _handle(self, request: web.Request) -> web.Response:
        if self._app is None:
            return web.Response(status=503, text="The bot is starting, or stopping.")
        with self._in_flight:
            payload = await to_bolt_request(request)
            return await to_aiohttp_response(await self._app.async_dispatch(payload))
