"""Slack's side of the active process: Bolt's app, its listeners, and its Socket Mode handler."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack import command, decisions, dialog
from bot.slack.context import SlackContext
from bot.slack.errors import InvalidToken, SlackError
from bot.slack.values import APPROVE, DIALOG, LET_RUN, OPEN, REASON_DIALOG

PING_INTERVAL = 4.0  #: seconds: the shorter, the sooner the SDK finds a dead connection
RECONNECT_PAUSES = (1.0, 2.0, 5.0, 10.0)  #: seconds between two tries to connect
TOKEN_TEST_INTERVAL = 10.0
SILENT_AFTER = 10.0  #: seconds without an answer to a ping after which Slack counts as lost
DRAIN = 1.5  #: seconds for answers that are on their way at the end
FAILED = "Something went wrong in the bot, and it is not certain what was done. Look at the message, and try again."  # noqa: E501 - shown as it stands
ANYTHING = re.compile(".*")

log = structlog.get_logger(__name__)

Handle = Callable[[SlackContext, Mapping[str, Any]], Awaitable[Any]]


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
    )
    _add_command(app, context)
    _add_actions(app, context)
    _add_views(app, context)

    @app.error
    async def report(error: Exception, body: dict[str, Any]) -> BoltResponse:
        log.error("listener failed", exc_info=error)
        context.background.start(context.tell(body, FAILED), "answer")
        return BoltResponse(status=200, body="")

    return app


def _add_command(app: AsyncApp, context: SlackContext) -> None:
    @app.command(ANYTHING)
    async def on_command(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _start(context, command.handle(context, body), body)


def _add_actions(app: AsyncApp, context: SlackContext) -> None:
    @app.action(OPEN)
    async def on_open(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        _start(context, decisions.open_job(context, body, str(action.get("value"))), body)

    @app.action(LET_RUN)
    async def on_let_run(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        _start(context, decisions.ask_why(context, body, str(action.get("value"))), body)

    @app.action(APPROVE)
    async def on_approve(ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await decisions.approve(context, body, str(action.get("value")))
        await ack()

    @app.action(ANYTHING)
    async def on_other_action(ack: AsyncAck) -> None:
        await ack()  # inputs of a dialog send what is chosen


def _add_views(app: AsyncApp, context: SlackContext) -> None:
    async def answer(ack: AsyncAck, handle: Handle, body: Mapping[str, Any]) -> None:
        response = await handle(context, body)
        await (ack(**response) if response else ack())

    @app.view(DIALOG)
    async def on_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, dialog.submit, body)

    @app.view(REASON_DIALOG)
    async def on_reason(ack: AsyncAck, body: dict[str, Any]) -> None:
        await answer(ack, decisions.let_run, body)

    @app.view(ANYTHING)
    async def on_other_view(ack: AsyncAck) -> None:
        await ack()

    @app.view_closed(ANYTHING)
    async def on_closed(ack: AsyncAck) -> None:
        await ack()

    @app.shortcut(ANYTHING)
    async def on_shortcut(ack: AsyncAck) -> None:
        await ack()


def _start(context: SlackContext, work: Awaitable[None], body: Mapping[str, Any]) -> None:
    """Do work after the acknowledgement; its failure is told to the person who waits."""

    async def run() -> None:
        await work

    async def tell(_reference: str) -> None:
        await context.tell(body, FAILED)

    context.background.start(run(), "listener", on_failure=tell)


class MeasuredHandler(AsyncSocketModeHandler):
    """Bolt's handler, which reports how long each acknowledgement took."""

    def __init__(self, app: AsyncApp, token: str, observe: Callable[[float], None]) -> None:
        super().__init__(app, token, ping_interval=PING_INTERVAL)
        self._observe = observe

    async def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override]  # as Bolt has it
        began = time.monotonic()
        await super().handle(client, req)
        self._observe(time.monotonic() - began)


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
        self._problem: str | None = "Slack is not connected yet."

    async def problem(self) -> str | None:
        """Return a sentence for `/readyz` while Slack is not connected or refuses the token."""
        if self._refusal or self._handler is None:
            return self._refusal or self._problem
        client = self._handler.client
        seen_at = client.last_ping_pong_time
        is_silent = seen_at is not None and time.time() - seen_at > SILENT_AFTER
        if not await client.is_connected() or is_silent:
            return "Slack is not connected. The bot tries again."
        return None

    async def run(self) -> None:
        """Connect, and stay connected until cancelled."""
        await self._connect()
        while True:
            await self._test_token()
            await asyncio.sleep(TOKEN_TEST_INTERVAL)

    async def stop(self) -> None:
        """Leave Slack: no click reaches this process any more; answers on their way are sent."""
        handler, self._handler = self._handler, None
        self._problem = "Slack is not connected: this process stops."
        if handler:
            try:
                async with asyncio.timeout(DRAIN):
                    await handler.client.disconnect()  # type: ignore[no-untyped-call]  # the SDK has no types there
            except Exception as error:  # noqa: BLE001 - it is closed anyway
                log.info("Slack not left cleanly", why=type(error).__name__)
        await self._context.background.drain(DRAIN)
        if handler:
            await handler.close_async()  # type: ignore[no-untyped-call]  # the SDK has no types there

    async def _connect(self) -> None:
        app = build_app(self._context)
        for attempt in range(2**31):
            handler = MeasuredHandler(app, self._app_token, self._observe_ack)
            try:
                await handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK has no types there
            except Exception as error:  # noqa: BLE001 - the SDK and aiohttp raise many kinds
                self._problem = f"Slack is not connected ({error}). The bot tries again."
                log.warning("Slack not connected", why=str(error) or type(error).__name__)
                await handler.close_async()  # type: ignore[no-untyped-call]  # the SDK has no types there
            else:
                self._handler = handler
                log.info("connected to Slack")
                return
            await asyncio.sleep(RECONNECT_PAUSES[min(attempt, len(RECONNECT_PAUSES) - 1)])

    async def _test_token(self) -> None:
        try:
            await self._context.client.auth_test()
        except InvalidToken as error:
            self._refusal = str(error)
        except SlackError:
            return
        else:
            self._refusal = None
