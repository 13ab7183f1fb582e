"""Stands before Bolt at `/slack/events`: what Slack did not sign, or did not shape, ends here.

Bolt answers such requests with a 500 and a traceback, so that anybody could fill the log. What
passes is read here, once, and handed on as it was read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from bot.web.payload_schema import Misshapen, read_body
from bot.web.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from pydantic import SecretStr

PATH = "/slack/events"
#: Where the guard leaves what it has read.
PAYLOAD = web.RequestKey("PAYLOAD", dict)
#: Seconds. Slack says so: https://docs.slack.dev/authentication/verifying-requests-from-slack
WINDOW = 300
#: Bytes. A view may have 250 kB, and percent-encoding triples the most of it.
BODY_CAP = 1024 * 1024

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)

UNSIGNED = (
    "A request to Slack's path is not signed with SLACK_SIGNING_SECRET, or is too old."
    " If commands fail in Slack, check that variable and the clock."
)

log = structlog.stdlib.get_logger(__name__)


def verify_slack_requests(
    signing_secret: SecretStr,
    clock: Callable[[], float],
    *,
    path: str = PATH,
    body_cap: int = BODY_CAP,
) -> Middleware:
    """Make the middleware.

    It answers 405 to other methods than POST, 413 to bodies that are too big, 401 to what is not
    signed by Slack within five minutes, 400 to what is signed but makes no sense, and to the very
    same request again what it has answered before.

    Args:
        signing_secret: the app's.
        clock: seconds since 1970.
        path: the only one that is guarded; every other passes.
        body_cap: the most bytes of a body.
    """
    key = signing_secret.get_secret_value().encode()
    repeats = Repeats()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != path:
            return await handler(request)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        try:
            body = await _capped_body(request, body_cap)
        except web.RequestPayloadError:
            return _refuse(400, "The body of this request cannot be read.")
        if not is_signed(key, request.headers, body, clock()):
            log.warning(UNSIGNED)
            return _refuse(401, "This request is not signed by Slack, or is too old.")
        signature = request.headers["X-Slack-Signature"]
        return await repeats.answer(signature, lambda: _read_and_answer(request, body, handler))

    return guard


async def _read_and_answer(
    request: web.Request, body: bytes, handler: Handler
) -> web.StreamResponse:
    try:
        request[PAYLOAD] = read_body(request.content_type, request.charset, body)
    except Misshapen as error:
        return _refuse(400, str(error))
    return await handler(request)


def payload_of(request: web.Request) -> dict[str, Any]:
    """Return what the guard has read; raises `KeyError` for a request that it has not let pass."""
    payload: dict[str, Any] = request[PAYLOAD]
    return payload


async def _capped_body(request: web.Request, cap: int) -> bytes:
    """Read the body, which aiohttp keeps for Bolt; it stops by itself at the app's own limit."""
    if (request.content_length or 0) > cap:
        raise web.HTTPRequestEntityTooLarge(cap, request.content_length or 0)
    body = await request.read()
    if len(body) > cap:
        raise web.HTTPRequestEntityTooLarge(cap, len(body))
    return body


def is_signed(key: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether `headers` carry a signature of `body` by `key` that is at most five minutes old."""
    timestamp = headers.get("X-Slack-Request-Timestamp", "")
    signature = headers.get("X-Slack-Signature", "")
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return False
    if abs(now - int(timestamp)) > WINDOW:
        return False
    digest = hmac.new(key, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={digest}", signature)


def _refuse(status: int, why: str) -> web.Response:
    log.info("refused a request to Slack's path", status=status, why=why)
    return web.Response(status=status, text=why)
