"""Sends payloads over HTTP, signed over the raw body like Slack's."""

import asyncio
import hashlib
import hmac
import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import aiohttp

from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.world import World

Json = dict[str, Any]
FORM = "application/x-www-form-urlencoded"


def signed_headers(secret: str, body: bytes, timestamp: float, content_type: str) -> dict[str, str]:
    """Headers with `v0=` HMAC-SHA256 of `v0:timestamp:body`.

    Source: docs.slack.dev, authentication/verifying-requests-from-slack.
    """
    stamp = str(int(timestamp))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256)
    return {
        "Content-Type": content_type,
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots) sandbox",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": "v0=" + digest.hexdigest(),
    }


def encoded(kind: str, payload: Json) -> tuple[bytes, str]:
    """Body and content type of a payload: a form for commands, `payload=` for interactivity."""
    if kind == "events_api":
        return json.dumps(payload).encode(), "application/json"
    if kind == "slash_commands":
        return urlencode(payload).encode(), FORM
    return urlencode({"payload": json.dumps(payload)}).encode(), FORM


class SignedHttp:
    """Sends payloads to the app's request URL."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.session: aiohttp.ClientSession | None = None  # opened with the server
        self.request_url: str | None = None

    async def send(self, kind: str, payload: Json, **retry: object) -> Ack:
        body, content_type = encoded(kind, payload)
        headers = self.headers(body, content_type)
        if retry:
            headers["X-Slack-Retry-Num"] = str(retry.get("retry_attempt", 1))
            headers["X-Slack-Retry-Reason"] = str(retry.get("retry_reason", "http_timeout"))
        return await self.post(body, headers)

    def headers(self, body: bytes, content_type: str = FORM) -> dict[str, str]:
        secret = self._world.workspace.app.signing_secret
        return signed_headers(secret, body, self._world.clock(), content_type)

    async def post(self, body: bytes, headers: dict[str, str]) -> Ack:
        """Post a raw body with any headers, so that tests can forge and break requests."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._world.settings.ack_seconds):
                status, answer = await self._exchange(body, headers)
        except TimeoutError:
            return Ack(error="operation_timeout", seconds=loop.time() - began)
        except aiohttp.ClientError:
            return Ack(error="dispatch_failed", seconds=loop.time() - began)
        error = None if status == HTTPStatus.OK else "http_error"
        return Ack(status=status, body=answer, seconds=loop.time() - began, error=error)

    async def _exchange(
        self, body: bytes, headers: dict[str, str]
    ) -> tuple[int, Json | str | None]:
        if self.request_url is None or self.session is None:
            raise aiohttp.ClientConnectionError("The app has no request URL.")
        async with self.session.post(
            self.request_url, data=body, headers=headers, allow_redirects=False
        ) as response:
            return response.status, _read(response.content_type, await response.text())


def _read(content_type: str, text: str) -> Json | str | None:
    if content_type != "application/json" or not text:
        return text or None
    answer = json.loads(text)
    return answer if isinstance(answer, dict) else text
