"""One WebSocket of Slack's, from its hello to its end."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from aiohttp import ClientWSTimeout, WSCloseCode, WSMessage, WSMsgType
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack.errors import NotReachable, SlackTrouble, SocketModeOff, TooManyConnections
from bot.slack.receivers.base import InFlight
from bot.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import ClientWebSocketResponse
    from slack_sdk.web.async_client import AsyncWebClient

Json: TypeAlias = dict[str, Any]

#: Seconds between pings.
PING = 0.6

#: Seconds without a sign of life (three pings unanswered) after which a connection counts as lost.
#: Below Slack's three, so that another one can still answer what this one should have.
SILENCE = 2.0

#: Seconds in which a connection must be open, and those it may then take to say hello.
OPENING = 10.0
HELLO = 3.0

#: Seconds for the two halves of a close, and for the answers that are still to go out between them.
CLOSING = 0.5

#: Slack's reasons for a disconnect that another connection does not help against.
REFUSALS: Mapping[str, type[SlackTrouble]] = {
    "link_disabled": SocketModeOff,
    "too_many_websockets": TooManyConnections,
}

ENDS = {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}

log = structlog.get_logger(__name__)


class Connection:
    """One open WebSocket. Reads, pings and ends by itself.

    `leaving` is set once Slack has said that it will end this connection, or it is over; until it
    is over, envelopes may come, and are answered.

    Args:
        socket: just opened, with `autoclose` and `autoping` off.
        take: told of each envelope, and the connection that it came by; must not wait.
    """

    def __init__(
        self,
        socket: ClientWebSocketResponse,
        take: Callable[[SocketModeRequest, Connection], None],
    ) -> None:
        self._socket = socket
        self._take = take
        self._hello = asyncio.Event()
        self._goodbye = False
        self.leaving = asyncio.Event()
        self.over = asyncio.Event()
        self.reason = "lost"
        self.answering = InFlight()
        self.opened_at = self.heard_at = time.monotonic()
        self._pinging = asyncio.create_task(self._ping())
        self._reading = asyncio.create_task(self._read())

    @property
    def can_answer(self) -> bool:
        """Whether an ack can be sent here."""
        return not (self._goodbye or self._socket.closed)

    @property
    def live(self) -> bool:
        """Whether envelopes can come here, as far as one can know."""
        heard = time.monotonic() - self.heard_at < 2 * SILENCE
        return heard and self.can_answer and not self.over.is_set()

    async def greeted(self) -> None:
        """Wait for Slack's hello; raises `SlackTrouble` where Slack sends us away instead.

        A Slack that says no hello, and pings back, is believed all the same.
        """
        waits = [asyncio.create_task(event.wait()) for event in (self._hello, self.leaving)]
        try:
            await asyncio.wait(waits, timeout=HELLO, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
        if self.leaving.is_set() and not self._hello.is_set():
            raise REFUSALS.get(self.reason, NotReachable)(self.reason)

    async def send(self, text: str) -> None:
        """Send an ack; raises `ConnectionError` where it cannot be sent here any more."""
        if not self.can_answer:
            raise ConnectionResetError("the connection is closing")
        await self._socket.send_str(text)

    async def close(self) -> None:
        """Say goodbye, and go on reading until Slack has said it too; under a second."""
        self._goodbye = True
        self._pinging.cancel()
        with suppress(ConnectionError):
            await self._socket.send_frame(WSCloseCode.OK.to_bytes(2, "big"), WSMsgType.CLOSE)
        await asyncio.wait({self._reading}, timeout=CLOSING)
        await cancel_and_wait(self._reading, self._pinging)

    async def _ping(self) -> None:
        with suppress(ConnectionError):
            while True:
                await self._socket.ping()
                await asyncio.sleep(PING)

    async def _read(self) -> None:
        try:
            while (message := await self._next()).type not in ENDS:
                self.heard_at = time.monotonic()
                if message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
                elif message.type is not WSMsgType.PONG:
                    self._hear(message.data)
        except TimeoutError:
            self.reason = "silent"
            self._goodbye = True
        except ConnectionError:
            log.debug("the connection broke while a ping was answered")
        except Exception:
            log.exception("a connection could not be read on")
        finally:
            self.over.set()
            self.leaving.set()
            self._pinging.cancel()
            await self._finish()

    async def _finish(self) -> None:
        """Let what came before Slack's goodbye be answered, then say ours."""
        await self.answering.idle(CLOSING if self.can_answer else 0)
        await self._socket.close()

    async def _next(self) -> WSMessage:
        """Wait for any frame; raises `TimeoutError` after `SILENCE`.

        In two steps: a process that was stopped for a while hears late what came in time.
        """
        with suppress(TimeoutError):
            return await self._socket.receive(SILENCE / 2)
        return await self._socket.receive(SILENCE / 2)

    def _hear(self, text: str | bytes) -> None:
        frame = read_frame(text)
        if frame.get("type") == "hello":
            log.debug("Slack says hello", connections=frame.get("num_connections"))
            self._hello.set()
        elif frame.get("type") == "disconnect":
            self.reason = str(frame.get("reason") or "asked to leave")
            self.leaving.set()
        elif envelope := read_envelope(frame):
            self._hello.set()
            self._take(envelope, self)
        else:
            log.warning("Slack sent what is no envelope", keys=sorted(frame))


def read_frame(text: str | bytes) -> Json:
    """Read one frame; what is no JSON object is an empty one."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}


def read_envelope(frame: Json) -> SocketModeRequest | None:
    """Read an envelope, or return None where something in it is missing or of a wrong kind."""
    if not isinstance(frame.get("envelope_id"), str) or not isinstance(frame.get("payload"), dict):
        return None
    return SocketModeRequest.from_dict(frame)


async def connect(
    client: AsyncWebClient,
    app_token: str,
    take: Callable[[SocketModeRequest, Connection], None],
) -> Connection:
    """Open a connection and wait for its hello.

    Raises:
        SlackTrouble: Slack sends us away.
        CALL_ERRORS: Slack cannot be reached, or gives no address.
    """
    answer = await client.apps_connections_open(app_token=app_token)
    if client.session is None:
        raise ValueError("the client must have a session")
    socket = await client.session.ws_connect(
        str(answer.get("url")),
        autoclose=False,
        autoping=False,
        timeout=ClientWSTimeout(ws_close=CLOSING),
        proxy=client.proxy,
        ssl=True if client.ssl is None else client.ssl,
    )
    connection = Connection(socket, take)
    try:
        await connection.greeted()
    except BaseException:
        await connection.close()
        raise
    return connection
