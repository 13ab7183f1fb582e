"""Builds the Bolt app: who the bot is, its listeners, and the clock on its acks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot.cancellation.request_context import bind_to_log, new_request_id
from bot.slack import error_handler, fallbacks
from bot.slack.card import handlers as card_handlers
from bot.slack.client import without_token
from bot.slack.command import handlers as command_handlers
from bot.slack.deadline import FOR_AN_ACK
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import handlers as dialog_handlers
from bot.slack.home import handlers as home_handlers
from bot.slack.payloads import may_begin, name_of, request_in
from bot.slack.picker import handlers as picker_handlers
from bot.slack.placement import Channels
from bot.slack.private_reply import PrivateReply
from bot.slack.shortcut import handlers as shortcut_handlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from slack_bolt.request.async_request import AsyncBoltRequest
    from slack_bolt.response import BoltResponse
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.request_context import RequestTracer
    from bot.slack.directory import Directory
    from bot.slack.identity import Identity
    from bot.slack.links import Links
    from bot.slack.ports import Desk
    from bot.tasks import BackgroundTasks

    #: Told how many seconds an ack took.
    OnAck = Callable[[float], None]


class App(AsyncApp):
    """Bolt's app, which also times its acks, and names the request that a payload is about."""

    def __init__(
        self,
        client: AsyncWebClient,
        identity: Identity,
        signing_secret: str | None,
        on_ack: OnAck,
        trail: RequestTracer,
    ) -> None:
        super().__init__(
            # Without a name Bolt takes that of the file which calls it, and looks through every
            # module for it.
            name=__name__,
            client=without_token(client),
            authorize=_as(identity, client.token),
            # The default runner polls for the ack every 10 ms, and loses one whose listener
            # fails at once; so the answer is what the listener has done when it returns.
            process_before_response=True,
            signing_secret=signing_secret,
        )
        self._on_ack = on_ack
        self._trail = trail

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """Answer one payload."""
        began = time.perf_counter()
        try:
            with self._trail(name_of(req.body), request_of(req.body)):
                return await super().async_dispatch(req)
        finally:
            self._on_ack(time.perf_counter() - began)


def build_app(
    client: AsyncWebClient,
    identity: Identity,
    *,
    signing_secret: str | None,
    service: Desk,
    directory: Directory,
    background: BackgroundTasks,
    links: Links,
    on_ack: OnAck = lambda _seconds: None,
    trail: RequestTracer = bind_to_log,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ack_timeout: float = FOR_AN_ACK,
) -> App:
    """Build the app with all its listeners.

    Args:
        client: the Web API, with the bot's token.
        identity: from one `auth.test` at start.
        signing_secret: for HTTP mode; None in Socket Mode, where nothing is signed.
        service: what a person can do with requests.
        directory: who people are.
        background: takes the work that goes on after an ack.
        links: where links lead.
        on_ack: told how many seconds each ack took.
        trail: follows each payload.
        sleep: waits between tries.
        ack_timeout: seconds that an ack may wait for the database.
    """
    app = App(client, identity, signing_secret, on_ack, trail)
    deps = Dependencies(
        client=client,
        identity=identity,
        service=service,
        directory=directory,
        channels=Channels(client, identity),
        replies=PrivateReply(client),
        links=links,
        background=background,
        ack_timeout=ack_timeout,
        sleep=sleep,
    )
    # Of several that fit, Bolt takes the first: `others` have what nobody else wants.
    for listeners in (
        command_handlers,
        dialog_handlers,
        picker_handlers,
        shortcut_handlers,
        home_handlers,
        card_handlers,
        fallbacks,
        error_handler,
    ):
        listeners.register(app, deps)
    return app


def request_of(body: Mapping[str, Any]) -> str | None:
    """Return the id of the request that a payload is about; a new one where one may begin."""
    return request_in(body) or (new_request_id() if may_begin(body) else None)


def _as(identity: Identity, token: str | None) -> Callable[[], Awaitable[AuthorizeResult]]:
    """Answer for every payload who we are, without the `auth.test` that Bolt would make first."""

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=identity.enterprise,
            team_id=identity.team,
            bot_id=identity.bot,
            bot_user_id=identity.user,
            bot_token=token,
        )

    return authorize
