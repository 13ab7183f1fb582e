"""Keeps one connection to Slack open, however often it ends."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from bot.slack.errors import CALL_ERRORS, RateLimited, SlackTrouble, meaning_of
from bot.slack.receivers.connection import OPENING, SILENCE
from bot.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.slack.receivers.connection import Connection
    from bot.tasks import BackgroundTasks

#: Seconds before the second try, doubled with each one, up to the longest pause.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0

#: Seconds that a connection must have lived for the next try to be the first one again.
STEADY = 5.0

#: Seconds that a connection which was replaced may stay, until Slack ends it itself. Slack says ten
#: seconds before that it will. What Slack ends can lose nothing; what we end, a little.
LINGER = 12.0

#: Seconds without a sign, beyond those that something may take, after which a line counts as stuck.
STUCK = 5.0

log = structlog.get_logger(__name__)


class ConnectionKeeper:
    """One of the bot's connections, through all the WebSockets that it consists of.

    When Slack says that it will end one, the next is open before that; meanwhile both are read.

    Args:
        name: for the log.
        dial: opens a connection.
        ends: takes the old ones, until they are closed.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        dial: Callable[[], Awaitable[Connection]],
        ends: BackgroundTasks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._name = name
        self._dial = dial
        self._ends = ends
        self._tries = 0
        self._sign_due = 0.0
        self._looked_at = 0.0
        self._patient_until = 0.0
        self._keeping: asyncio.Task[None] | None = None
        self.connection: Connection | None = None
        self.trouble: SlackTrouble | None = None
        #: Set once there is, or was, a reason to want another line.
        self.shaken = asyncio.Event()

    def start(self) -> None:
        self._expect(0)
        self._looked_at = self._clock()
        self._keeping = asyncio.create_task(self._keep(), name=f"line {self._name}")

    async def stop(self) -> None:
        """Open nothing more; what is open stays so."""
        if self._keeping:
            await cancel_and_wait(self._keeping)

    def look_after(self) -> None:
        """Start the line again if its task has died, or has been waiting for too long."""
        if self._keeping is None:
            return
        self._note_standstill()
        if self._keeping.done():
            log.error("a line's task died", line=self._name, exc_info=_error_of(self._keeping))
        elif self._clock() > max(self._due(), self._patient_until):
            log.error("a line's task is stuck", line=self._name)
            self._keeping.cancel()
        else:
            return
        self.start()

    def _note_standstill(self) -> None:
        """Where the watchdog itself stood still, so did the line: it first hears what came then."""
        now = self._clock()
        if now - self._looked_at > STUCK:
            self._patient_until = now + STUCK
        self._looked_at = now

    def _due(self) -> float:
        """Until when there must be a sign of life."""
        current = self.connection
        if current and not current.leaving.is_set():
            return current.heard_at + SILENCE + STUCK
        return self._sign_due

    def _expect(self, seconds: float) -> None:
        self._sign_due = self._clock() + seconds + STUCK

    async def _keep(self) -> None:
        while True:
            old, self.connection = self.connection, await self._open()
            if old:
                self._ends.start(_drain(old), f"end of {self._name}")
            await self.connection.leaving.wait()
            self._left(self.connection)

    def _left(self, connection: Connection) -> None:
        log.info("leaving a connection", line=self._name, reason=connection.reason)
        self.shaken.set()
        if self._clock() - connection.opened_at >= STEADY:
            self._tries = 0

    async def _open(self) -> Connection:
        while True:
            pause = pause_before(self._tries, self.trouble)
            self._expect(pause)
            await asyncio.sleep(pause)
            self._expect(OPENING)  # from now: the process may have been stopped in the pause
            self._tries += 1
            try:
                async with asyncio.timeout(OPENING):
                    connection = await self._dial()
            except (*CALL_ERRORS, SlackTrouble) as error:
                self._failed(error if isinstance(error, SlackTrouble) else meaning_of(error))
            else:
                self.trouble = None
                log.info("connected", line=self._name)
                return connection

    def _failed(self, trouble: SlackTrouble) -> None:
        self.shaken.set()
        self.trouble = trouble
        log.warning("no connection", line=self._name, why=trouble.sentence, tries=self._tries)


def pause_before(tries: int, trouble: SlackTrouble | None = None) -> float:
    """Return seconds to wait after some tries: longer each time, and never in step with others."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 10)) if tries else 0.0
    told = trouble.seconds if isinstance(trouble, RateLimited) else 0.0
    return told + random.uniform(0, longest)  # noqa: S311 - spreads replicas, hides nothing


async def _drain(connection: Connection) -> None:
    """Let Slack end a connection that has its successor; end it ourselves if Slack does not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            await connection.over.wait()
    await connection.close()


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
