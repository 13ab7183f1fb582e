"""Slack's side of the active process: Bolt's app, its listeners, and its Socket Mode handler."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack import command, decisions, dialog
from bot.slack.context import FAILED, SlackContext
from bot.slack.errors import InvalidToken, SlackError
from bot.slack.values import APPROVE, DIALOG, LET_RUN, OPEN, REASON_DIALOG
from bot.tasks import repeat

PING_INTERVAL = 3.0  #: seconds: the shorter, the sooner the SDK finds a dead connection
CONNECT_TIMEOUT = 10.0  #: seconds: the SDK repeats a connect with an old address for ever
RECONNECT_PAUSES = (1.0, 2.0, 5.0, 10.0)  #: seconds between two tries to connect
#: Seconds without a connection after which a new handler replaces one that does not reconnect.
REPLACE_AFTER = 15.0
CHECK_INTERVAL = 1.0
TOKEN_TEST_INTERVAL = 6.0
SILENT_AFTER = 10.0  #: seconds without an answer to a ping after which Slack counts as lost
DRAIN = 1.0  #: seconds at the end for clicks, and again for answers, that are on their way
LOST = "Slack is not connected. The bot tries again."
ANY_COMMAND = re.compile(".*")
UNKNOWN_BUTTON = (
    "This button is of another version of the bot, and your click changed nothing. "
    "Type the command to see the downloads."
)

log = structlog.get_logger(__name__)


def build_app(context: SlackContext) -> AsyncApp:
    """Return Bolt's app; each listener validates, writes, acknowledges and returns."""
    identity, token = context.identity, context.client.token

    async def authorize(**_: object) -> AuthorizeResult:
        # The bot has one token, whose identity is known: Bolt need not ask for each payload.
        return AuthorizeResult(
            enterprise_id=None, team_id=identity.team, bot_user_id=identity.user, bot_token=token
        )

    app = AsyncApp(
        client=context.client,
        authorize=authorize,
        # Else Bolt loses the acknowledgement of a listener that fails right after it.
        process_before_response=True,
        # What has no listener comes to `report`, which acknowledges it.
        raise_error_for_unhandled_request=True,
    )
    _add_command(app, context)
    _add_actions(app, context)
    _add_views(app, context)

    @app.error
    async def report(error: Exception, body: dict[str, Any]) -> BoltResponse:
        if isinstance(error, BoltUnhandledRequestError):
            log.debug("payload without a listener", type=str(body.get("type")))
            if any(action.get("type") == "button" for action in body.get("actions") or ()):
                context.background.start(context.tell(body, UNKNOWN_BUTTON), "answer")
        else:
            log.error("listener failed", exc_info=error)
            context.background.start(context.tell(body, FAILED), "answer")
        return BoltResponse(status=200, body="")

    return app


def _add_command(app: AsyncApp, context: SlackContext) -> None:
    @app.command(ANY_COMMAND)
    async def on_command(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _answer(ack, command.handle(context, body))


def _add_actions(app: AsyncApp, context: SlackContext) -> None:
    @app.action(OPEN)
    async def on_open(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        work = decisions.open_job(context, body, str(action.get("value")))
        context.start(work, "dialog", body)

    @app.action(LET_RUN)
    async def on_let_run(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        work = decisions.ask_why(context, body, str(action.get("value")))
        context.start(work, "dialog", body)

    @app.action(APPROVE)
    async def on_approve(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await decisions.approve(context, body, str(action.get("value")))
        await ack()


def _add_views(app: AsyncApp, context: SlackContext) -> None:
    @app.view(DIALOG)
    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _answer(ack, await dialog.submit(context, body))

    @app.view(REASON_DIALOG)
    async def on_reason(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _answer(ack, await decisions.let_run(context, body))


async def _answer(ack: AsyncAck, answer: Mapping[str, Any] | None) -> None:
    await (ack(**answer) if answer else ack())


class MeasuredHandler(AsyncSocketModeHandler):
    """Bolt's handler, which reports how long each acknowledgement took."""

    def __init__(self, app: AsyncApp, token: str, observe: Callable[[float], None]) -> None:
        super().__init__(app, token, ping_interval=PING_INTERVAL)
        self._observe = observe
        self._handling: set[asyncio.Task[Any] | None] = set()

    async def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override]  # as Bolt has it
        began, task = time.monotonic(), asyncio.current_task()
        self._handling.add(task)  # also because the SDK keeps no reference
        try:
            await super().handle(client, req)
        finally:
            self._handling.discard(task)
            self._observe(time.monotonic() - began)

    async def open(self) -> None:
        """Connect; raises `SlackError`, `TimeoutError`, or what aiohttp raises."""
        async with asyncio.timeout(CONNECT_TIMEOUT):
            # Here, since `connect` logs a refusal and repeats it for ever.
            self.client.wss_uri = await self.client.issue_new_wss_url()
            await self.connect_async()  # type: ignore[no-untyped-call]  # the SDK has no types there

    async def is_alive(self) -> bool:
        """Whether Slack is connected and has answered a ping lately."""
        seen_at = self.client.last_ping_pong_time
        is_silent = seen_at is not None and time.time() - seen_at > SILENT_AFTER
        return await self.client.is_connected() and not is_silent

    async def until_lost(self) -> None:
        """Wait until the SDK has not reconnected for `REPLACE_AFTER` seconds."""
        alive_at = time.monotonic()
        while time.monotonic() - alive_at < REPLACE_AFTER:
            await asyncio.sleep(CHECK_INTERVAL)
            if await self.is_alive():
                alive_at = time.monotonic()

    async def close(self, drain: float = 0.0) -> None:
        """Leave Slack; the clicks that are being handled are acknowledged before."""
        handling = [task for task in self._handling if task]
        if handling and drain:
            await asyncio.wait(handling, timeout=drain)
        try:
            async with asyncio.timeout(DRAIN):
                await self.close_async()  # type: ignore[no-untyped-call]  # the SDK has no types there
        except Exception as error:  # noqa: BLE001 - it is closed anyway
            log.info("Slack not left cleanly", why=type(error).__name__)


class SlackApp:
    """Connects to Slack while this process is active."""

    def __init__(
        self, context: SlackContext, app_token: str, observe_ack: Callable[[float], None]
    ) -> None:
        self._context = context
        self._app_token = app_token
        self._observe_ack = observe_ack
        self._handler: MeasuredHandler | None = None
        self._refusal: str | None = None
        self._problem = "Slack is not connected yet."

    async def problem(self) -> str | None:
        """Return a sentence for `/readyz` while Slack is not connected or refuses the token."""
        if self._refusal or self._handler is None:
            return self._refusal or self._problem
        return None if await self._handler.is_alive() else LOST

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected())
            tasks.create_task(repeat(self._test_token, TOKEN_TEST_INTERVAL, "token not tested"))

    async def stop(self) -> None:
        """Leave Slack: no click reaches this process any more; answers on their way are sent."""
        handler, self._handler = self._handler, None
        self._problem = "Slack is not connected: this process stops."
        if handler:
            await handler.close(DRAIN)
        await self._context.background.drain(DRAIN)

    async def _stay_connected(self) -> None:
        app, failures = build_app(self._context), 0
        while True:
            handler = MeasuredHandler(app, self._app_token, self._observe_ack)
            pause = RECONNECT_PAUSES[min(failures, len(RECONNECT_PAUSES) - 1)]
            try:
                await handler.open()
                log.info("connected to Slack")
                self._handler, failures = handler, 0
                await handler.until_lost()
                self._problem = LOST
            except (SlackError, aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
                failures += 1
                pause = max(pause, getattr(error, "seconds", 0.0))
                self._problem = f"Slack is not connected: {str(error) or 'no answer in time.'}"
                log.warning("Slack not connected", why=str(error) or type(error).__name__)
            finally:
                self._handler = None
                await handler.close()
            await asyncio.sleep(pause)

    async def _test_token(self) -> None:
        try:
            await self._context.client.auth_test()
        except InvalidToken as error:
            self._refusal = str(error)
        except SlackError:
            return
        else:
            self._refusal = None
