"""Socket Mode: envelopes come over two WebSockets, and each gets its ack."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.blockkit import private
from bot.slack.receivers.connections import Connection, ConnectionKeeper, ReconnectPlan, connect
from bot.slack.receivers.payloads import NOT_RUNNING, Dispatch, InvalidPayload, read_payload
from bot.tasks import BackgroundTasks, cancel_and_wait
from bot.timings import DEFAULT_TIMINGS, Timings

MAX_KEPT_ANSWERS = 1000  # for repeated envelopes
NO_ANSWER = "check SLACK_APP_TOKEN and the network."
EXCESS = (
    "Slack counts more connections of this app than running bots hold (excess: {}). Clicks that it"
    " sends there are lost and must be repeated. Slack drops such connections after some minutes;"
    " until then this bot opens one connection only."
)
UNREADABLE = "The bot could not read what Slack sent for this. Please type the command again."

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class SocketModeReceiver:
    """Receives envelopes over any of its connections.

    An ack is sent over the connection of its envelope, or over another one if that is closed.
    `app_token` only opens connections; `client` must have a session.
    """

    app_token: str = field(repr=False)
    client: AsyncWebClient
    timings: Timings = DEFAULT_TIMINGS
    _dispatcher: "EnvelopeDispatcher" = field(init=False, repr=False)  # set before connecting

    def __post_init__(self) -> None:
        self._answers = BackgroundTasks()
        self._background = BackgroundTasks()
        self.plan = ReconnectPlan(self.timings)
        self._keeper = ConnectionKeeper(self._connect, self.plan, self._background)
        self._keeping: asyncio.Task[None] | None = None

    @property
    def live(self) -> int:
        """The number of connections over which envelopes can arrive."""
        return self._keeper.live

    def start(self, dispatch: Dispatch) -> None:
        """Pass payloads to Bolt's app; connecting continues in the background."""
        self._dispatcher = EnvelopeDispatcher(dispatch)
        self._keeping = self._background.start(self._keeper.run(), "connections")

    @property
    def problem(self) -> str | None:
        """Why no payload can arrive, or None."""
        if not self._keeping:
            return NOT_RUNNING
        if self.live:
            return None
        error = self._keeper.error
        return f"Socket Mode is not connected: {error.sentence if error else NO_ANSWER}"

    @property
    def notice(self) -> str | None:
        """What Slack counts beside the connections that are held, or None."""
        return EXCESS.format(self.plan.excess) if self.plan.excess else None

    async def share(self, report: Callable[[int], Awaitable[int]]) -> None:
        """Report how many connections this process holds, and take how many the others hold."""
        self._keeper.count(await report(self.live))

    async def stop(self, seconds: float) -> None:
        """Close the connections one by one, each after the answers to its envelopes.

        An envelope that arrives after a close frame is answered over a connection that is still
        open. After the last close frame it gets no ack: the person sees an error and clicks again.
        """
        if self._keeping:
            await cancel_and_wait(self._keeping)
        self._keeping = None
        # Those that Slack is about to close go first.
        connections = sorted(self._keeper.connections, key=lambda c: not c.disconnecting.is_set())
        for connection in connections:
            await connection.in_flight.wait_until_idle(seconds / len(connections))
            await connection.close()
        await self._answers.drain(0)
        await self._background.drain(1)

    async def _connect(self) -> Connection:
        return await connect(self.client, self.app_token, self._accept)

    def _accept(self, envelope: SocketModeRequest, connection: Connection) -> None:
        if not any(each.can_send for each in (connection, *self._keeper.connections)):
            log.warning("not acked: every connection is closed", envelope=envelope.envelope_id)
            return
        connection.in_flight.begin()
        answering = self._answers.start(self._answer(envelope, connection), "envelope")
        answering.add_done_callback(lambda _: connection.in_flight.end())

    async def _answer(self, envelope: SocketModeRequest, connection: Connection) -> None:
        ack = await self._dispatcher.answer(envelope)
        if ack is None:
            log.warning("no ack: the app could not answer", kind=envelope.type)
        elif not await self._send(ack, connection):
            log.warning("an ack could not be sent: the person sees an error", kind=envelope.type)

    async def _send(self, ack: str, connection: Connection) -> bool:
        for each in (connection, *(self._keeper.connections - {connection})):
            with suppress(ConnectionError):
                await each.send(ack)
                return True
        return False


@dataclass(eq=False)
class EnvelopeDispatcher:
    """Passes each envelope to the app once, and repeats the answer to a repeated envelope.

    Slack repeats an event whose ack it missed, over any connection, but no click and no command as
    far as is known. A command that is handled twice would use its trigger twice and report that the
    dialog could not be opened.
    """

    dispatch: Dispatch
    _answers: dict[str, asyncio.Future[str | None]] = field(default_factory=dict)

    async def answer(self, envelope: SocketModeRequest) -> str | None:
        """Return the ack's text, or None where Bolt sends none."""
        if known := self._answers.get(envelope.envelope_id):
            return await asyncio.shield(known)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._answers[envelope.envelope_id] = answer
        while len(self._answers) > MAX_KEPT_ANSWERS:
            self._answers.pop(next(iter(self._answers)))
        try:
            answer.set_result(await self._answer(envelope))
        finally:
            if not answer.done() or answer.result() is None:
                # It failed, so a repeated envelope is dispatched again.
                self._answers.pop(envelope.envelope_id, None)
                answer.cancel()
        return answer.result()

    async def _answer(self, envelope: SocketModeRequest) -> str | None:
        try:
            request = read_payload(envelope)
        except InvalidPayload as error:
            # An ack, because without one the person would wait for it and see a timeout.
            log.info("refused an envelope", envelope=envelope.envelope_id, why=str(error))
            text = private(UNREADABLE) if envelope.type == "slash_commands" else None
            return _frame(envelope.envelope_id, text)
        return ack_of(envelope.envelope_id, await self.dispatch(request))


def ack_of(envelope_id: str, response: BoltResponse) -> str | None:
    """Build the ack from the app's response; None unless it is 200, as in Bolt's adapters."""
    if response.status != HTTPStatus.OK:
        return None
    payload: dict[str, Any] | str | None = response.body or None
    if payload and "application/json" in str(response.headers.get("content-type")):
        payload = json.loads(response.body)
    return _frame(envelope_id, payload)


def _frame(envelope_id: str, payload: dict[str, Any] | str | None) -> str:
    return json.dumps(SocketModeResponse(envelope_id=envelope_id, payload=payload).to_dict())
