"""Clocks for tests: one whose sleep returns immediately, and one whose time others advance."""

import asyncio
import heapq
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@dataclass(slots=True)
class FakeClock:
    """A clock that `advance` and `sleep` move.

    Attributes:
        sleeps: the seconds of each sleep.
    """

    now: datetime = NOON
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)


class SimulatedTime:
    """Time that passes only by `advance`; the wall clock may jump independently."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.wall = NOON
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.elapsed + seconds, next(self._numbers), woken))
        await woken

    @property
    def next_at(self) -> float:
        """When the next sleeper is due, in seconds."""
        return min((at for at, _, woken in self._sleepers if not woken.done()), default=math.inf)

    def advance(self, seconds: float) -> None:
        """Advance the time, and wake sleepers that are due."""
        self.elapsed += seconds
        self.wall += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self.elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
