"""Builds the Bolt app and registers the listeners of all features."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.request_context import RequestTracer, bind_to_log, new_request_id
from bot.services.service import CancellationService
from bot.slack import fallbacks
from bot.slack.card import handlers as card_handlers
from bot.slack.client import Identity, without_token
from bot.slack.command import handlers as command_handlers
from bot.slack.command import shortcut
from bot.slack.dependencies import ACK_TIMEOUT, Dependencies
from bot.slack.dialog import handlers as dialog_handlers
from bot.slack.directory import Directory
from bot.slack.home import handlers as home_handlers
from bot.slack.links import Links
from bot.slack.lists import handlers as list_handlers
from bot.slack.payloads import may_begin, name_of, request_in
from bot.slack.picker import handlers as picker_handlers
from bot.slack.placement import Channels
from bot.slack.private_reply import PrivateReply
from bot.tasks import BackgroundTasks

#: Called with the seconds that an ack took.
OnAck = Callable[[float], None]


class App(AsyncApp):
    """Bolt's app with a timer around each ack and a trace of the request behind each payload."""

    def __init__(
        self,
        client: AsyncWebClient,
        identity: Identity,
        signing_secret: str | None,
        on_ack: OnAck,
        tracer: RequestTracer,
    ) -> None:
        super().__init__(
            # Without a name Bolt searches all modules for the file that called it.
            name=__name__,
            client=without_token(client),
            authorize=_authorize_as(identity, client.token),
            # The default runner polls for the ack every 10 ms and loses the ack of a listener that
            # fails at once. With this flag the response is built when the listener returns.
            process_before_response=True,
            signing_secret=signing_secret,
        )
        self._on_ack = on_ack
        self._tracer = tracer

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """Answer one payload."""
        began = time.perf_counter()
        try:
            with self._tracer(name_of(req.body), request_of(req.body)):
                return await super().async_dispatch(req)
        finally:
            self._on_ack(time.perf_counter() - began)


def build_app(
    client: AsyncWebClient,
    identity: Identity,
    *,
    signing_secret: str | None,
    service: CancellationService,
    directory: Directory,
    background: BackgroundTasks,
    links: Links,
    on_ack: OnAck = lambda _seconds: None,
    tracer: RequestTracer = bind_to_log,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ack_timeout: float = ACK_TIMEOUT,
) -> App:
    """Build the app and register all listeners.

    Args:
        client: the Web API, with the bot's token.
        identity: from one `auth.test` at start.
        signing_secret: for HTTP mode; None in Socket Mode, whose payloads are not signed.
        service: what a person can do with requests.
        directory: looks up people and user groups.
        background: runs the work that continues after an ack.
        links: builds links to Atlas and to messages.
        on_ack: called with the seconds that each ack took.
        tracer: opens a trace around each payload.
        sleep: waits between retries.
        ack_timeout: seconds that an ack may wait for the database.
    """
    app = App(client, identity, signing_secret, on_ack, tracer)
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
    # Bolt calls the first listener that matches, so the fallbacks come last.
    for listeners in (
        command_handlers,
        dialog_handlers,
        picker_handlers,
        shortcut,
        list_handlers,
        home_handlers,
        card_handlers,
        fallbacks,
    ):
        listeners.register(app, deps)
    return app


def request_of(body: Mapping[str, Any]) -> str | None:
    """Return the request id of a payload, or a new id where the payload may begin a request."""
    return request_in(body) or (new_request_id() if may_begin(body) else None)


def _authorize_as(
    identity: Identity, token: str | None
) -> Callable[[], Awaitable[AuthorizeResult]]:
    """Return an `authorize` with a constant result, which saves Bolt's `auth.test` per payload."""
    result = AuthorizeResult(
        enterprise_id=identity.enterprise,
        team_id=identity.team,
        bot_id=identity.bot,
        bot_user_id=identity.user,
        bot_token=token,
    )

    async def authorize() -> AuthorizeResult:
        return result

    return authorize
