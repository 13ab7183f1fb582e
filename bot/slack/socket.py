"""Socket Mode: one connection, and an orderly end that loses no envelope in flight."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncApp
    from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest
    from slack_sdk.web.async_client import AsyncWebClient

#: Seconds between pings: how soon a cut connection is noticed, and the pause between two attempts.
PING = 3.0

log = structlog.get_logger(__name__)


class Envelopes(AsyncSocketModeHandler):
    """Bolt's own handler, which also counts the envelopes that it is at."""

    def __init__(self, app: AsyncApp, app_token: str, client: AsyncWebClient) -> None:
        super().__init__(app, app_token, web_client=client, ping_interval=PING)
        self._in_flight = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        self._in_flight += 1
        self.idle.clear()
        try:
            await super().handle(client, req)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self.idle.set()


class Socket:
    """The connection to Slack.

    Must be built inside the running loop: Slack's client starts a task at once.
    """

    def __init__(self, app: AsyncApp, app_token: str, client: AsyncWebClient) -> None:
        self._handler = Envelopes(app, app_token, client)
        self._connecting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and try until it works; `trouble` tells how it stands."""
        self._connecting = asyncio.create_task(self._connect(), name="socket mode")

    async def trouble(self) -> str | None:
        """Say why nothing can reach the bot, or nothing when the connection is live."""
        if await self._handler.client.is_connected():
            return None
        return "Socket Mode is not connected: check SLACK_APP_TOKEN and the network."

    async def stop(self, seconds: float) -> None:
        """Wait until no envelope is in flight, at most `seconds`; then close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._handler.idle.wait()
        if self._connecting:
            self._connecting.cancel()
        await self._handler.close_async()

    async def _connect(self) -> None:
        await self._handler.connect_async()
        log.info("connected to Slack by Socket Mode")
