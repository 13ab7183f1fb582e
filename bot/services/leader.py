"""Elects the replica that leads, which alone runs the background loops."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass

import structlog

from bot.storage.database import DatabaseClock
from bot.storage.replicas import LeaderLease
from bot.tasks import Loop, log_errors, repeat
from bot.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Leader:
    """Holds the lease, or waits for it; the loops run while this process holds it."""

    lease: LeaderLease
    clock: DatabaseClock  #: is set before each attempt
    _: KW_ONLY
    timings: Timings = DEFAULT_TIMINGS
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._until = -math.inf  # on the event loop's clock
        self._led = False  # at the last attempt
        self.ends = False  #: whether this process stops: it goes on to lead, or does not begin to
        self._elected = asyncio.Event()
        self._running: set[asyncio.Timeout] = set()  # each ends a loop with the lease

    @property
    def leads(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    async def run(self) -> None:
        """Acquire and renew the lease until cancelled; errors are logged."""
        interval, event = self.timings.leader_interval, "lease of the leader not renewed"
        await repeat(self.elect, interval, event, sleep=self.sleep)

    async def elect(self) -> None:
        """Acquire or renew the lease, or find out that another replica holds it."""
        if self.ends and not self.leads:
            return
        await self.clock.set()
        asked = asyncio.get_running_loop().time()
        is_acquired = await self.lease.acquire()
        self._until = asked + self.timings.leader_lease if is_acquired else -math.inf
        for each in self._running:
            if not each.expired():
                each.reschedule(self._until)
        if self.leads:
            self._elected.set()
        if self.leads != self._led:
            log.info("this replica leads" if self.leads else "another replica leads")
        self._led = self.leads

    def loop(self, loop: Loop) -> Loop:
        """Return a loop that runs this one while this process leads, and waits otherwise."""

        async def run() -> None:
            while True:
                await self._elected.wait()
                try:
                    async with asyncio.timeout_at(self._until) as lease:
                        self._running.add(lease)
                        return await loop()
                except TimeoutError:
                    if not lease.expired():
                        raise
                finally:
                    self._running.discard(lease)
                if not self.leads:
                    self._elected.clear()

        return run

    async def stop(self) -> None:
        """Leave the lease to another replica immediately; otherwise it runs out."""
        if self.leads:
            self._until = -math.inf
            with log_errors("lease of the leader not released"):
                await self.lease.release()
