"""Keeps Socket Mode's connections open, and opens the next one when another ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from bot.slack.errors import CALL_ERRORS, SlackError, translate_error
from bot.slack.receivers.connection import Connection
from bot.slack.receivers.reconnects import ReconnectPlan
from bot.tasks import BackgroundTasks, wait_up_to

CONNECT_TIMEOUT = 10.0  # seconds for opening a connection, with its hello
TOO_MANY = "Slack counts connections that no running bot holds"

log = structlog.get_logger(__name__)


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
