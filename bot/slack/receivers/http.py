"""HTTP mode: Slack posts its payloads to the bot, and signs them."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from pydantic import SecretStr
from slack_bolt.adapter.aiohttp import to_aiohttp_response

from bot.log_config import LogThrottle
from bot.slack.manifest import PATH
from bot.slack.receivers.payloads import NOT_RUNNING, Dispatch, InvalidPayload, read_body
from bot.tasks import InFlight

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

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class HttpReceiver:
    """Answers POSTs to `PATH`; `clock` returns seconds since 1970.

    It answers 401 to requests that Slack did not sign within five minutes, and 400 to signed
    requests that are malformed. aiohttp answers 413 to bodies larger than `client_max_size`.
    """

    signing_secret: SecretStr
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._dispatch: Dispatch | None = None
        self._in_flight = InFlight()
        self._unsigned = LogThrottle()  # anyone can send them

    @property
    def problem(self) -> str | None:
        """Why no payload can be answered, or None."""
        return NOT_RUNNING if self._dispatch is None else None

    def add_route(self, app: web.Application) -> None:
        app.router.add_post(PATH, self._handle)

    def start(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def stop(self, seconds: float) -> None:
        """Accept no more payloads, and wait up to `seconds` for the answers in flight."""
        self._dispatch = None
        await self._in_flight.wait_until_idle(seconds)

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        key = self.signing_secret.get_secret_value().encode()
        if not is_signed(key, request.headers, body, self.clock()):
            if count := self._unsigned.count():
                log.warning(UNSIGNED, requests=count)
            text = "This request is not signed by Slack, or is too old."
            return web.Response(status=401, text=text)
        try:
            payload = read_body(request.content_type, request.charset, body)
        except InvalidPayload as error:
            log.info("refused a request to Slack's path", why=str(error))
            return web.Response(status=400, text=str(error))
        if self._dispatch is None:
            return web.Response(status=503, text=NOT_RUNNING)
        self._in_flight.begin()
        try:
            return await to_aiohttp_response(await self._dispatch(payload))
        finally:
            self._in_flight.end()


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
