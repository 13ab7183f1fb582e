"""HTTP mode: Slack posts its payloads to the bot."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.errors import CALL_ERRORS, translate_error
from bot.slack.receivers.base import (
    NOT_RUNNING,
    Dispatch,
    InFlight,
    UnreadablePayload,
    bolt_request,
)

#: Seconds between two `auth.test` calls of readiness, which must notice a failure in a minute.
AUTH_TEST_INTERVAL = 30.0


@dataclass(eq=False)
class HttpReceiver:
    """Receives signed HTTP requests; a middleware has verified the signature before.

    `client` checks that the token works; `payload_of` returns the payload of a verified request.
    """

    client: AsyncWebClient
    payload_of: Callable[[web.Request], dict[str, Any]]

    def __post_init__(self) -> None:
        self._dispatch: Dispatch | None = None
        self._in_flight = InFlight()
        self._tested_at = -math.inf

    def add_route(self, site: web.Application, path: str) -> None:
        """Serve Slack's payloads at `path`."""
        site.router.add_post(path, self._handle)

    def start(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def problem(self) -> str | None:
        """Return why no payload can be answered, or None."""
        if self._dispatch is None:
            return NOT_RUNNING
        if time.monotonic() - self._tested_at < AUTH_TEST_INTERVAL:
            return None
        self._tested_at = -math.inf
        try:
            await self.client.auth_test()
        except CALL_ERRORS as error:
            return translate_error(error).sentence
        self._tested_at = time.monotonic()
        return None

    async def stop(self, seconds: float) -> None:
        """Accept no more payloads, and wait up to `seconds` for the answers in flight."""
        self._dispatch = None
        await self._in_flight.wait_until_idle(seconds)

    async def _handle(self, request: web.Request) -> web.Response:
        if self._dispatch is None:
            return web.Response(status=503, text=NOT_RUNNING)
        with self._in_flight:
            try:
                payload = bolt_request(self.payload_of(request))
            except UnreadablePayload as error:
                return web.Response(status=400, text=str(error))
            return await to_aiohttp_response(await self._dispatch(payload))
