"""HTTP mode: Slack posts its payloads to the bot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response

from bot.slack.errors import CALL_ERRORS, meaning_of
from bot.slack.receivers.base import AWAY, InFlight
from bot.slack.receivers.requests import Misread, bolt_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.slack.receivers.base import App

#: Seconds for which a good `auth.test` proves that Slack is reached; readiness allows a minute.
PROOF = 30.0


class HttpReceiver:
    """HTTP mode: Slack posts to us; what is not signed never gets here.

    Args:
        client: the Web API, to prove that the token works.
        payload_of: gives the payload of a request whose signature was good, and fails for others.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        payload_of: Callable[[web.Request], dict[str, Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._payload_of = payload_of
        self._clock = clock
        self._app: App | None = None
        self._in_flight = InFlight()
        self._proved_at: float | None = None

    def add_route(self, site: web.Application, path: str) -> None:
        """Serve Slack's payloads at `path`."""
        site.router.add_post(path, self._handle)

    def open(self, app: App) -> None:
        self._app = app

    async def trouble(self) -> str | None:
        if self._app is None:
            return AWAY
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
            return web.Response(status=503, text=AWAY)
        with self._in_flight:
            try:
                payload = bolt_request(self._payload_of(request), request.headers)
            except Misread as error:
                return web.Response(status=400, text=str(error))
            return await to_aiohttp_response(await self._app.async_dispatch(payload))
