"""HTTP mode: Slack posts its payloads to the bot, and signs them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from pydantic import SecretStr
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_sdk.signature import Clock, SignatureVerifier

from bot.log_config import LogThrottle
from bot.slack.manifest import PATH
from bot.slack.receivers.payloads import NOT_RUNNING, Dispatch, InvalidPayload, read_body
from bot.tasks import InFlight

#: The application's `client_max_size`: a view may have 250 kB, which percent-encoding may triple.
MAX_BODY_BYTES = 1024 * 1024
UNSIGNED = (
    "A request to Slack's path is not signed with SLACK_SIGNING_SECRET, or is too old."
    " If commands fail in Slack, check that variable and the clock."
)

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class HttpReceiver:
    """Answers POSTs to `PATH`.

    It answers 401 to requests that Slack did not sign within five minutes, and 400 to signed
    requests that are malformed. aiohttp answers 413 to bodies larger than `client_max_size`.
    """

    signing_secret: SecretStr
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self._verifier = SignatureVerifier(self.signing_secret.get_secret_value(), self.clock)
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
        if not self._is_signed(body, request.headers):
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

    def _is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether Slack signed `body` within the last five minutes."""
        try:
            return self._verifier.is_valid_request(body, headers)
        except (OverflowError, TypeError, ValueError):  # no number, or no text in ASCII or UTF-8
            return False
