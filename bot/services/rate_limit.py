"""Rate limits of Atlas: the budget of one project, and the pace of the watch's calls."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from bot.cancellation.errors import RateLimitReserved

#: The documented token bucket of a project's backup calls: its size, and its refill (500 a
#: minute). Atlas may change both; the headers of its answers override them.
BUCKET_SIZE = 1200
REFILL_PER_SECOND = 500 / 60
RESERVE = 1 / 5  #: the fraction of the bucket that searches leave
MARGIN = 16  #: calls on top of the reserve that others (another replica, say) may have in flight
PROBE_INTERVAL = 10.0  #: seconds without calls after which one call checks for a refill


@dataclass(eq=False)
class RateLimitBudget:
    """Tracks one project's token bucket by the headers of Atlas's answers."""

    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._limit = BUCKET_SIZE  # until headers give another
        self._remaining = float(self._limit)
        self._updated_at = self.monotonic()
        self._in_flight = 0
        self._has_headers = False

    def update(self, remaining: int | None, limit: int | None = None) -> None:
        """Record an answer's headers; without them (API v1.0) the call counts as one token."""
        if remaining is None:
            self._estimate_refill()
            self._remaining -= 1
            return
        self._has_headers = True
        self._limit = limit or self._limit
        self._remaining, self._updated_at = float(remaining), self.monotonic()

    @contextmanager
    def call(self, *, reserve: float = RESERVE) -> Iterator[None]:
        """Make one call; raises `RateLimitReserved` where only this part of the bucket is left."""
        if not self._may_call(reserve):
            raise RateLimitReserved
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _may_call(self, reserve: float) -> bool:
        self._estimate_refill()
        if self._remaining - self._in_flight > self._limit * reserve + MARGIN:
            return True
        # Atlas's refill was seen to come in jumps, so a single call checks from time to time.
        if self._in_flight or self.monotonic() - self._updated_at < PROBE_INTERVAL:
            return False
        self._updated_at = self.monotonic()
        return True

    def _estimate_refill(self) -> None:
        """Without headers, assume the documented refill."""
        if self._has_headers:
            return
        now = self.monotonic()
        refilled = self._remaining + (now - self._updated_at) * REFILL_PER_SECOND
        self._remaining = min(self._limit, refilled)
        self._updated_at = now


@dataclass
class TokenBucket:
    """Limits the watch's reads of one project to a fraction of Atlas's documented rate limit."""

    interval: float  #: seconds in which one token comes back
    size: int  #: reads that may follow each other without a pause
    full_at: float  #: when all tokens are there again

    def wait(self, now: float, *, reserve: int = 0) -> float:
        """Return the seconds until a read may take a token and leave `reserve` tokens."""
        return max(0.0, self.full_at - (self.size - reserve - 1) * self.interval - now)

    def take(self, now: float) -> None:
        self.full_at = max(now, self.full_at) + self.interval


class Rank(IntEnum):
    """Which calls of watches are first."""

    URGENT = 0
    REGULAR = 1
    SPARE = 2  #: when no other one waits


class CallPacer:
    """Spaces the calls of all watches by `interval` seconds, if not 0; the lowest rank is first."""

    def __init__(self, interval: float = 0.0) -> None:
        self._interval = interval
        self._free_at = 0.0
        self._waiting: dict[asyncio.Future[None], tuple[Callable[[], Rank], float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(
        self, rank: Callable[[], Rank] = lambda: Rank.REGULAR, *, cost: float = 1.0
    ) -> None:
        """Wait for a turn; the call takes `cost` intervals, and its `rank` may change meanwhile."""
        if not self._interval:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = (rank, cost)
        self._set_timer()
        try:
            await turn
        finally:
            self._waiting.pop(turn, None)

    def _set_timer(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._free_at, self._release)

    def _release(self) -> None:
        self._timer = None
        if self._waiting:
            turn = min(self._waiting, key=lambda each: self._waiting[each][0]())
            _, cost = self._waiting.pop(turn)
            if not turn.done():
                turn.set_result(None)
                now = asyncio.get_running_loop().time()
                self._free_at = max(now, self._free_at) + self._interval * cost
        self._set_timer()
