"""Socket Mode: two WebSockets, so that one is open while the other reconnects."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.command.views import private
from bot.slack.receivers.base import (
    NOT_RUNNING,
    RETRY_HEADERS,
    App,
    UnreadablePayload,
    bolt_request,
)
from bot.slack.receivers.connection import Connection, ConnectionKeeper, connect
from bot.tasks import BackgroundTasks, cancel_and_wait

#: Given an envelope's type and payload, returns what is wrong with it, or None.
Validate: TypeAlias = "Callable[[str, Mapping[str, Any]], str | None]"

#: Slack allows an app ten connections over all replicas.
CONNECTION_COUNT = 2

#: Seconds between opening the two connections. Slack refreshes each one after some hours, and so
#: not both at once. The second one opens immediately if the first one fails.
CONNECT_STAGGER = 15.0

#: Answers that are kept for repeated envelopes.
MAX_KEPT_ANSWERS = 1000

OK = 200

NO_ANSWER = "check SLACK_APP_TOKEN and the network."
UNREADABLE = "The bot could not read what Slack sent for this. Please type the command again."

log = structlog.get_logger(__name__)


def accept_all(_kind: str, _payload: Mapping[str, Any]) -> None:
    """Accept every envelope."""


class SocketModeReceiver:
    """Receives envelopes over any of its connections.

    An ack is sent over the connection of its envelope, or over another one if that is closed.
    `app_token` only opens connections; `client` must have a session.
    """

    def __init__(
        self,
        app_token: str,
        client: AsyncWebClient,
        *,
        validate: Validate = accept_all,
        stagger: float = CONNECT_STAGGER,
    ) -> None:
        self._app_token = app_token
        self._validate = validate
        self._client = client
        self._stagger = stagger
        self._dispatcher: EnvelopeDispatcher | None = None
        self._answers = BackgroundTasks()
        self._background = BackgroundTasks()
        self._connections: set[Connection] = set()
        self._starting: asyncio.Task[None] | None = None
        self.keepers = [
            ConnectionKeeper(str(n + 1), self._connect, self._background)
            for n in range(CONNECTION_COUNT)
        ]

    @property
    def live(self) -> int:
        """The number of connections over which envelopes can arrive."""
        return sum(connection.is_live for connection in self._connections)

    def start(self, app: App) -> None:
        """Pass payloads to the app; connecting continues in the background."""
        self._dispatcher = EnvelopeDispatcher(app, self._validate)
        self._starting = self._background.start(self._start_keepers(), "start of Socket Mode")

    async def problem(self) -> str | None:
        """Return why no payload can arrive, or None."""
        if self._starting is None:
            return NOT_RUNNING
        if self.live:
            return None
        errors = [keeper.error.sentence for keeper in self.keepers if keeper.error]
        return " ".join(["Socket Mode is not connected:", *(errors[:1] or [NO_ANSWER])])

    async def stop(self, seconds: float) -> None:
        """Close the connections one by one, each after the answers to its envelopes.

        An envelope that arrives after a close frame is answered over a connection that is still
        open. After the last close frame it gets no ack, and Slack sends it to another replica.
        """
        if self._starting is None:
            return
        await cancel_and_wait(self._starting)
        self._starting = None
        await asyncio.gather(*(keeper.stop() for keeper in self.keepers))
        # Those that Slack is about to close go first.
        for connection in sorted(self._connections, key=lambda c: not c.disconnecting.is_set()):
            await connection.in_flight.wait_until_idle(seconds / len(self._connections))
            await connection.close()
        await self._answers.drain(0)
        await self._background.drain(1)

    async def _start_keepers(self) -> None:
        for keeper in self.keepers:
            keeper.start()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stagger):
                    await keeper.interrupted.wait()

    async def _connect(self) -> Connection:
        connection = await connect(self._client, self._app_token, self._accept)
        self._connections = {c for c in self._connections if c.can_send} | {connection}
        return connection

    def _accept(self, envelope: SocketModeRequest, connection: Connection) -> None:
        if not any(each.can_send for each in (connection, *self._connections)):
            log.info("left without an ack, for another replica", envelope=envelope.envelope_id)
            return
        connection.in_flight.begin()
        answering = self._answers.start(self._answer(envelope, connection), "envelope")
        answering.add_done_callback(lambda _: connection.in_flight.end())

    async def _answer(self, envelope: SocketModeRequest, connection: Connection) -> None:
        if self._dispatcher is None:
            return
        ack = await self._dispatcher.answer(envelope)
        if ack is None:
            log.warning("no ack: the app could not answer", kind=envelope.type)
        elif not await self._send(ack, connection):
            log.warning("an ack could not be sent: Slack may repeat it", kind=envelope.type)

    async def _send(self, ack: str, connection: Connection) -> bool:
        for each in (connection, *(self._connections - {connection})):
            if each.can_send:
                with suppress(ConnectionError):
                    await each.send(ack)
                    return True
        return False


class EnvelopeDispatcher:
    """Passes each envelope to the app once, and repeats the answer to a repeated envelope.

    Slack repeats an envelope whose ack it missed, over any connection. A command that is handled
    twice would use its trigger twice and report that the dialog could not be opened.
    """

    def __init__(
        self, app: App, validate: Validate = accept_all, max_kept: int = MAX_KEPT_ANSWERS
    ) -> None:
        self._app = app
        self._validate = validate
        self._max_kept = max_kept
        self._answers: dict[str, asyncio.Future[str | None]] = {}

    async def answer(self, envelope: SocketModeRequest) -> str | None:
        """Return the ack's text, or None where Bolt sends none."""
        if known := self._answers.get(envelope.envelope_id):
            return await asyncio.shield(known)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._keep(envelope.envelope_id, answer)
        try:
            answer.set_result(await self._dispatch(envelope))
        finally:
            if not answer.done() or answer.result() is None:
                # It failed, so a repeated envelope is dispatched again.
                self._answers.pop(envelope.envelope_id, None)
                answer.cancel()
        return answer.result()

    def _keep(self, envelope_id: str, answer: asyncio.Future[str | None]) -> None:
        self._answers[envelope_id] = answer
        while len(self._answers) > self._max_kept:
            self._answers.pop(next(iter(self._answers)))

    async def _dispatch(self, envelope: SocketModeRequest) -> str | None:
        try:
            if problem := self._validate(envelope.type, envelope.payload):
                return ack_unread(envelope, problem)
            request = bolt_request(envelope.payload, retry_headers(envelope))
        except UnreadablePayload as error:
            return ack_unread(envelope, str(error))
        return ack_of(envelope.envelope_id, await self._app.async_dispatch(request))


def ack_unread(envelope: SocketModeRequest, problem: str) -> str:
    """Build the ack of a malformed envelope, so that Slack does not repeat it."""
    log.info("refused an envelope", envelope=envelope.envelope_id, why=problem)
    text = private(UNREADABLE) if envelope.type == "slash_commands" else None
    return _frame(envelope.envelope_id, text)


def retry_headers(envelope: SocketModeRequest) -> dict[str, str]:
    """Express that an envelope is repeated by the headers of HTTP mode, as Bolt does."""
    values = zip(RETRY_HEADERS, (envelope.retry_attempt, envelope.retry_reason), strict=True)
    return {name: str(value) for name, value in values if value is not None}


def ack_of(envelope_id: str, response: BoltResponse) -> str | None:
    """Build the ack from the app's response; None unless it is 200, as in Bolt's adapters."""
    if response.status != OK:
        return None
    payload: dict[str, Any] | str | None = response.body or None
    if payload and "application/json" in str(response.headers.get("content-type")):
        payload = json.loads(response.body)
    return _frame(envelope_id, payload)


def _frame(envelope_id: str, payload: dict[str, Any] | str | None) -> str:
    return json.dumps(SocketModeResponse(envelope_id=envelope_id, payload=payload).to_dict())
