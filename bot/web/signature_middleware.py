"""Verifies signature and form of each request to `/slack/events` before Bolt reads it.

Bolt answers a malformed request with a 500 and a traceback, which would let anyone fill the log.
The middleware parses the payload once and passes it on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import SecretStr

from bot.web.payload_schema import InvalidPayload, read_body

PATH = "/slack/events"
#: Key of the parsed payload in the request.
PAYLOAD = web.RequestKey("PAYLOAD", dict)
#: Seconds, from https://docs.slack.dev/authentication/verifying-requests-from-slack
MAX_SIGNATURE_AGE = 300
#: The application's `client_max_size`: a view may have 250 kB, which percent-encoding may triple.
MAX_BODY_BYTES = 1024 * 1024

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)

UNSIGNED = (
    "A request to Slack's path is not signed with SLACK_SIGNING_SECRET, or is too old."
    " If commands fail in Slack, check that variable and the clock."
)

log = structlog.stdlib.get_logger(__name__)


def verify_slack_requests(
    signing_secret: SecretStr, clock: Callable[[], float], *, path: str = PATH
) -> Middleware:
    """Return the middleware.

    It answers 405 to methods other than POST, 401 to requests that Slack did not sign within five
    minutes, and 400 to signed requests that are malformed. aiohttp answers 413 to bodies larger
    than the application's `client_max_size`.

    Args:
        signing_secret: the app's.
        clock: seconds since 1970.
        path: the path that is verified; requests to other paths pass.
    """
    key = signing_secret.get_secret_value().encode()

    @web.middleware
    async def verify(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != path:
            return await handler(request)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        try:
            body = await request.read()
        except web.RequestPayloadError:
            return _refuse(400, "The body of this request cannot be read.")
        if not is_signed(key, request.headers, body, clock()):
            log.warning(UNSIGNED)
            return _refuse(401, "This request is not signed by Slack, or is too old.")
        try:
            request[PAYLOAD] = read_body(request.content_type, request.charset, body)
        except InvalidPayload as error:
            return _refuse(400, str(error))
        return await handler(request)

    return verify


def payload_of(request: web.Request) -> dict[str, Any]:
    """Return the parsed payload; raises `KeyError` for a request that was not verified."""
    payload: dict[str, Any] = request[PAYLOAD]
    return payload


def is_signed(key: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether `headers` carry a signature of `body` by `key` that is at most five minutes old."""
    timestamp = headers.get("X-Slack-Request-Timestamp", "")
    signature = headers.get("X-Slack-Signature", "")
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return False
    if abs(now - int(timestamp)) > MAX_SIGNATURE_AGE:
        return False
    digest = hmac.new(key, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={digest}", signature)


def _refuse(status: int, why: str) -> web.Response:
    log.info("refused a request to Slack's path", status=status, why=why)
    return web.Response(status=status, text=why)
