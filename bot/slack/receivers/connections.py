"""Socket Mode's WebSockets: one from its address to its end, and when the next one is opened."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import structlog
from aiohttp import ClientWebSocketResponse, ClientWSTimeout, WSCloseCode, WSMsgType
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import errors
from bot.slack.blockkit import read_object
from bot.slack.errors import CALL_ERRORS, SlackError, translate_error
from bot.tasks import BackgroundTasks, InFlight, wait_up_to
from bot.timings import DEFAULT_TIMINGS, Timings, backoff

#: Called with each envelope and its connection; must not block.
OnEnvelope: TypeAlias = "Callable[[SocketModeRequest, Connection], None]"

# In seconds.
CONNECT_TIMEOUT = 10.0  # for opening a connection, with its hello
HELLO_TIMEOUT = 6.0
CLOSE_TIMEOUT = 0.5  # for each half of the close, and for the answers between them
#: Without a frame, a ping is sent after this time; the connection counts as lost after one and a
#: half times of it. Each connection that is given up stays registered at Slack for minutes and gets
#: clicks, which are lost: that costs more than a few seconds without a connection.
HEARTBEAT = 5.0
#: For which a replaced connection stays open. Slack announces its end ten seconds ahead, and a
#: close by Slack loses no envelope; a close by the bot may.
DRAIN_TIMEOUT = 12.0

CONNECTIONS = 2  #: that a process keeps, so that one is open while the other reconnects
FIRST_BACKOFF = 0.25  # seconds before the second attempt, doubled with each attempt
MAX_BACKOFF = 10.0
STABLE_AFTER = 5.0  # seconds that a connection must have been open to reset the backoff
_MAX_GROWTH = 8  #: beyond which a pause is the longest one in any case; keeps the powers small
TOO_MANY = "Slack counts connections that no running bot holds"

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


@dataclass
class ReconnectPlan:
    """The connections that Slack counts, and the pauses that follow from their excess.

    Slack counts a connection that was cut for some minutes, and sends clicks to it, which are lost.
    Excess is what Slack counts less what all processes hold. Times are monotonic seconds.
    """

    timings: Timings = DEFAULT_TIMINGS
    jitter: Callable[[], float] = random.random
    counted: int = 0  #: by Slack's last hello
    others: int = 0  #: that other processes hold
    excess: int = 0
    failures: int = 0  #: attempts and short connections in a row
    _retry_at: float = 0.0
    _second_at: float = 0.0  # not before, while there is an excess
    _second_tries: int = 0

    def next_at(self, opened: Sequence[float]) -> float:
        """Return when the next connection may be opened, infinite where none is needed.

        `opened`: when each open connection was opened, without those that Slack is about to close.
        """
        if len(opened) >= CONNECTIONS:
            return math.inf
        if not opened:
            return self._retry_at
        if self.excess:
            return self._second_at
        return max(self._retry_at, max(opened) + self.timings.connection_stagger)

    def on_hello(self, now: float, counted: int | None, held: int, *, is_second: bool) -> None:
        """Take what Slack counts, None where it does not say, while the process holds `held`."""
        if counted is not None:
            self.counted = counted
        self.excess = max(0, (counted or 0) - held - self.others)
        self._second_tries = self._second_tries + is_second if self.excess else 0
        self._put_off_second(now)

    def on_failure(self, now: float, retry_after: float | None = None) -> None:
        """Pause after an attempt that failed."""
        self.failures += 1
        self._retry_at = now + backoff(
            self.failures,
            first=FIRST_BACKOFF,
            longest=MAX_BACKOFF,
            jitter=self.jitter(),
            retry_after=retry_after,
        )
        self._put_off_second(now)

    def on_end(self, now: float, opened_at: float, *, is_lost: bool) -> None:
        """Pause after the end of a connection, which Slack still counts if it `is_lost`."""
        if now - opened_at >= STABLE_AFTER:
            self.failures = 0
        elif now >= self._retry_at:  # both may end at once
            self.on_failure(now)
        if is_lost:
            self.excess += 1
            self._retry_at = max(self._retry_at, now + self.pause)
            self._put_off_second(now)

    def on_count(self, others: int) -> None:
        """Take how many connections the other processes hold.

        Where these are more than before, the last hello may have counted them already. Where they
        are fewer, Slack counts fewer, too: an excess begins with a hello or a cut.
        """
        self.excess = max(0, self.excess - max(0, others - self.others))
        self.others = others

    @property
    def pause(self) -> float:
        """The seconds after a cut without any connection; they grow with the excess."""
        first, longest = self.timings.reconnect_pause, self.timings.longest_reconnect_pause
        return min(first * 4.0 ** min(self.excess - 1, _MAX_GROWTH), longest)

    def _put_off_second(self, now: float) -> None:
        growth = 2.0 ** min(self._second_tries, _MAX_GROWTH)
        pause = min(self.timings.second_pause * growth, self.timings.longest_second_pause)
        self._second_at = now + pause


@dataclass(eq=False)
class ConnectionKeeper:
    """Opens one connection after the other, as its plan says.

    Each is followed in the background, and drained when Slack announces its end.
    """

    connect: Callable[[], Awaitable[Connection]]
    plan: ReconnectPlan
    background: BackgroundTasks
    clock: Callable[[], float] = time.monotonic
    connections: set[Connection] = field(default_factory=set)
    error: SlackError | None = None  # why the last attempt failed
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def live(self) -> int:
        """The number of connections over which envelopes can arrive."""
        return sum(connection.is_live for connection in self.connections)

    async def run(self) -> None:
        """Open connections until cancelled; the open ones stay."""
        while True:
            self._changed.clear()
            wait = self.plan.next_at(self._opened()) - self.clock()
            if wait > 0:
                await wait_up_to(wait, self._changed)
            else:
                await self._open()

    def count(self, others: int) -> None:
        """Take how many connections the other processes hold."""
        self.plan.on_count(others)
        self._changed.set()

    def _opened(self) -> list[float]:
        """Return when the connections were opened that stay."""
        stay = [each for each in self.connections if not each.disconnecting.is_set()]
        return [each.opened_at for each in stay]

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await self.connect()
        except Exception as error:
            if not isinstance(error, (*CALL_ERRORS, SlackError)):
                log.exception("connecting failed unexpectedly")
            self.error = translate_error(error)
            self.plan.on_failure(self.clock(), self.error.seconds)
            log.warning("not connected", why=self.error.sentence, attempts=self.plan.failures)
        else:
            self.error = None
            self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        is_second = bool(self._opened())
        held = self.live + 1
        self.plan.on_hello(self.clock(), connection.counted, held, is_second=is_second)
        log.info("connected", counted=connection.counted)
        self.connections.add(connection)
        self.background.start(self._follow(connection), "connection")
        if self.plan.excess:
            self.background.start(self._judge(connection), "excess")

    async def _follow(self, connection: Connection) -> None:
        await connection.disconnecting.wait()
        self.plan.on_end(self.clock(), connection.opened_at, is_lost=connection.is_lost)
        self._changed.set()
        tell = log.warning if connection.is_lost else log.info
        tell("disconnecting", reason=connection.reason, excess=self.plan.excess)
        await connection.drain()
        self.connections.discard(connection)

    async def _judge(self, connection: Connection) -> None:
        """Close the second connection if the excess stays when other processes have reported."""
        await wait_up_to(self.plan.timings.excess_grace, connection.disconnecting)
        if not self.plan.excess or connection.disconnecting.is_set():
            return
        log.warning(TOO_MANY, counted=connection.counted, excess=self.plan.excess)
        if len(self._opened()) > 1:
            await connection.close()
