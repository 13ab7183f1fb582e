"""Socket Mode's WebSockets: one connection, from its address to its end."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from aiohttp import ClientWebSocketResponse, ClientWSTimeout, WSCloseCode, WSMsgType
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import errors
from bot.slack.errors import SlackError
from bot.slack.payloads import read_object
from bot.tasks import InFlight, wait_up_to

#: Called with each envelope and its connection; must not block.
OnEnvelope: TypeAlias = "Callable[[SocketModeRequest, Connection], None]"

# In seconds.
HELLO_TIMEOUT = 6.0
CLOSE_TIMEOUT = 0.5  # for each half of the close, and for the answers between them
#: Without a frame, a ping is sent after this time; the connection counts as lost after one and a
#: half times of it. Each connection that is given up stays registered at Slack for minutes and gets
#: clicks, which are lost: that costs more than a few seconds without a connection.
HEARTBEAT = 5.0
#: For which a replaced connection stays open. Slack announces its end ten seconds ahead, and a
#: close by Slack loses no envelope; a close by the bot may.
DRAIN_TIMEOUT = 12.0

#: Slack's reasons for a disconnect that a new connection does not help against.
DISCONNECT_ERRORS: Mapping[str, type[SlackError]] = {
    "link_disabled": errors.SocketModeOff,
    "too_many_websockets": errors.TooManyConnections,
}

END_TYPES = {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}

log = structlog.get_logger(__name__)


class Connection:
    """One open WebSocket, which is read until it ends.

    The socket was just opened, with `autoclose` off and with a heartbeat.
    """

    def __init__(self, socket: ClientWebSocketResponse, on_envelope: OnEnvelope) -> None:
        self._socket = socket
        self._on_envelope = on_envelope
        self._has_hello = False
        self._first_frame = asyncio.Event()  # also set at the end
        self._close_sent = False
        # Set when Slack announces the end of the connection, and at its end. Until `closed` is set,
        # envelopes still arrive and are answered.
        self.disconnecting = asyncio.Event()
        self.closed = asyncio.Event()
        self.reason = "no hello"  # why it ends
        self.is_lost = False  # it ended without a word of Slack, which may still count it
        self.counted: int | None = None  # how many connections Slack counts, by its hello
        self.in_flight = InFlight()
        self.opened_at = time.monotonic()
        self._reading = asyncio.create_task(self._read())

    @property
    def can_send(self) -> bool:
        """Whether an ack can be sent here."""
        return not (self._close_sent or self._socket.closed)

    @property
    def is_live(self) -> bool:
        """Whether envelopes can arrive here, as far as the bot knows."""
        return self.can_send and not self.closed.is_set()

    async def wait_for_hello(self) -> None:
        """Wait for Slack's hello, or for an envelope; raises `SlackError` if neither arrives."""
        await wait_up_to(HELLO_TIMEOUT, self._first_frame)
        if not self._has_hello:
            raise DISCONNECT_ERRORS.get(self.reason, errors.SlackUnavailable)(self.reason)

    async def send(self, text: str) -> None:
        """Send an ack; raises `ConnectionError` where the connection is closing."""
        if not self.can_send:
            raise ConnectionResetError("the connection is closing")
        await self._socket.send_str(text)

    async def close(self) -> None:
        """Send a close frame and read until Slack's; takes less than a second."""
        self._close_sent = True
        with suppress(ConnectionError):
            await self._socket.send_frame(WSCloseCode.OK.to_bytes(2, "big"), WSMsgType.CLOSE)
        await asyncio.wait({self._reading}, timeout=CLOSE_TIMEOUT)
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def drain(self) -> None:
        """Wait until Slack closes the connection, then close it if Slack has not."""
        await asyncio.wait({self._reading}, timeout=DRAIN_TIMEOUT)
        await self.close()

    async def _read(self) -> None:
        is_expected = False
        try:
            while (message := await self._socket.receive()).type not in END_TYPES:
                self._handle_frame(message.data)
            is_expected = message.type is WSMsgType.CLOSE
            if message.type is WSMsgType.ERROR:
                self.reason = str(message.data)  # such as that no pong came
        except ConnectionError:
            log.debug("the connection broke while a ping was answered")
        except Exception:
            log.exception("a connection could not be read")
        finally:
            self.is_lost = not (is_expected or self._close_sent or self.disconnecting.is_set())
            for event in (self.closed, self.disconnecting, self._first_frame):
                event.set()
            # Envelopes that arrived before Slack's close frame are answered before the bot's.
            await self.in_flight.wait_until_idle(CLOSE_TIMEOUT if self.can_send else 0)
            await self._socket.close()

    def _handle_frame(self, text: str | bytes) -> None:
        self._first_frame.set()
        frame = read_object(text)
        if frame.get("type") == "hello":
            self._has_hello, self.reason = True, "lost"
            counted = frame.get("num_connections")
            self.counted = counted if isinstance(counted, int) else None
        elif frame.get("type") == "disconnect":
            self.reason = str(frame.get("reason") or "disconnect")
            self.disconnecting.set()
        elif envelope := read_envelope(frame):
            self._has_hello = True
            self._on_envelope(envelope, self)
        else:
            log.warning("ignored a frame that is no envelope", keys=sorted(frame))


def read_envelope(frame: dict[str, Any]) -> SocketModeRequest | None:
    """Read an envelope, or return None where a field is missing or of another type."""
    if not isinstance(frame.get("envelope_id"), str) or not isinstance(frame.get("payload"), dict):
        return None
    return SocketModeRequest.from_dict(frame)


async def connect(client: AsyncWebClient, app_token: str, on_envelope: OnEnvelope) -> Connection:
    """Open a connection and wait for its hello; raises `SlackError` or `CALL_ERRORS`."""
    answer = await client.apps_connections_open(app_token=app_token)
    if client.session is None:
        raise ValueError("the client must have a session")
    socket = await client.session.ws_connect(
        str(answer.get("url")),
        autoclose=False,
        heartbeat=HEARTBEAT,
        timeout=ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
        proxy=client.proxy,
    )
    connection = Connection(socket, on_envelope)
    try:
        await connection.wait_for_hello()
    except BaseException:
        await connection.close()
        raise
    return connection
