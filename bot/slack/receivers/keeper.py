"""Keeps Socket Mode's connections open: when the next one may be opened, by what Slack counts."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from bot.slack.errors import CALL_ERRORS, SlackError, translate_error
from bot.slack.receivers.connection import Connection
from bot.tasks import BackgroundTasks, wait_up_to
from bot.timings import DEFAULT_TIMINGS, Timings, backoff

CONNECT_TIMEOUT = 10.0  # seconds for opening a connection, with its hello
CONNECTIONS = 2  #: that a process keeps, so that one is open while the other reconnects
FIRST_BACKOFF = 0.25  # seconds before the second attempt, doubled with each attempt
MAX_BACKOFF = 10.0
STABLE_AFTER = 5.0  # seconds that a connection must have been open to reset the backoff
_MAX_GROWTH = 8  #: beyond which a pause is the longest one in any case; keeps the powers small
TOO_MANY = "Slack counts connections that no running bot holds"

log = structlog.get_logger(__name__)


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
