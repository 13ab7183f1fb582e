"""Limits the reads of one process: their pace, each project's share, and who goes first."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count

from bot.atlas.errors import AtlasUnavailable, RateLimited, TimedOut


class Priority(IntEnum):
    """Whom a read is for; the lowest value goes first."""

    CANCEL = 0  #: a run that cancels: it waits for nothing
    PERSON = 1  #: somebody who waits for an answer
    FIRST_LOOK = 2  #: the watch's first round after a start or a take-over
    WATCH = 3  #: the activity feed, and clusters that may have a new download
    ROUND = 4  #: the watch's later rounds over all clusters

    @property
    def is_watch(self) -> bool:
        return self >= Priority.FIRST_LOOK


class PathSet(IntEnum):
    """Paths that share one limit of a project; the value is Atlas's refill in calls a minute."""

    EVENTS = 100
    BACKUPS = 500
    OTHERS = 5000


def set_of(path: str) -> PathSet:
    """Return the set of a path below the root of the API."""
    if path.endswith("/events"):
        return PathSet.EVENTS
    return PathSet.BACKUPS if "/backup/" in path else PathSet.OTHERS


#: Seconds between two calls of the watch: nine a second, of ten in all. The calls of others move
#: the watch's next one, but by no more than `LONGEST_DEBT`.
CALL_INTERVAL = 0.11
LONGEST_DEBT = 2.0
#: The same for first looks: 21 a second, of 25 in all. A busy process gives turns late; the next
#: ones make up for so many seconds.
FIRST_LOOK_INTERVAL = 0.048
LONGEST_LATENESS = 0.05
#: The shares of Atlas's documented limits; the last quarter is left for runs that cancel.
WATCH_SHARE = 1 / 4
PERSON_SHARE = 1 / 2
BURST = 0.24  #: the part of a minute's calls that may follow each other without a pause
URGENT_BURST = 0.8  #: the part of a burst that rounds leave for other calls of the watch
#: Calls in flight, of persons and of the watch each; a run finds a free connection beside them.
MAX_IN_FLIGHT = 12
RATE_LIMIT_PAUSE = 10.0  #: seconds after a 429 without Retry-After, as Atlas's documentation says
LONGEST_PAUSE = 60.0  #: seconds of a Retry-After that count
RESOLUTION = 1e-6  #: seconds by which a turn may be early: a sum of floats is not exact


@dataclass
class TokenBucket:
    """Allows `size` calls at once, and one more in each interval."""

    size: int
    interval: float  #: seconds in which one token comes back
    full_at: float = -math.inf  #: when all tokens are there again

    @classmethod
    def of(cls, calls_per_minute: float) -> "TokenBucket":
        """Return one that allows no more than these calls in any minute."""
        size = max(1, int(calls_per_minute * BURST))
        return cls(size, 60.0 / (calls_per_minute - size))

    def ready_at(self, *, reserve: float = 0.0) -> float:
        """Return when a call may take a token and leave this part of the others."""
        kept = int((self.size - 1) * reserve)
        return self.full_at - (self.size - 1 - kept) * self.interval

    def take(self, now: float) -> None:
        self.full_at = max(now, self.full_at) + self.interval


@dataclass(frozen=True, slots=True)
class Demand:
    """The project of a read, and whom the read is for."""

    project_id: str
    priority: Priority


@dataclass(eq=False)
class _Waiting:
    """A call that waits for its turn."""

    demand: Demand
    paths: PathSet
    deadline: float
    number: int
    turn: asyncio.Future[None] = field(default_factory=asyncio.Future)

    @property
    def order(self) -> tuple[Priority, int]:
        return self.demand.priority, self.number

    @property
    def is_watch(self) -> bool:
        return self.demand.priority.is_watch


@dataclass(eq=False)
class CallLimiter:
    """Gives calls their turns; one for all projects of a process.

    CANCEL never waits. PERSON waits for a free place in flight, and for its share of the project's
    limit; the watch besides for its pace and for the end of a Retry-After. Where several may go,
    the lowest priority goes first, and then who waits longer. So the feeds wait for first looks.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._numbers = count()
        self._waiting: list[_Waiting] = []
        self._in_flight: Counter[bool] = Counter()  # by whether it is a call of the watch
        self._buckets: dict[tuple[str, PathSet, bool], TokenBucket] = {}
        self._paused_until: dict[tuple[str, PathSet], float] = {}
        self._pace_free_at = -math.inf
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = math.inf

    @asynccontextmanager
    async def turn(self, demand: Demand, paths: PathSet, deadline: float) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for one call.

        Raises `RateLimited` or `TimedOut` where there is no turn before the deadline. A 429 of the
        call pauses the watch's calls of these paths of the project.
        """
        if demand.priority is Priority.CANCEL:
            self._move_pace(demand.priority, self.monotonic())
        else:
            await self._wait(demand, paths, deadline)
        try:
            yield
        except RateLimited as error:
            seconds = min(error.retry_after or RATE_LIMIT_PAUSE, LONGEST_PAUSE)
            self._paused_until[demand.project_id, paths] = self.monotonic() + seconds
            raise
        finally:
            if demand.priority is not Priority.CANCEL:
                self._leave(demand)

    def _reconsider(self) -> None:
        """Give the turns that are due."""
        now = self.monotonic()
        ready = self._ready(now)
        while due := [waiting for ready_at, waiting in ready if ready_at <= now + RESOLUTION]:
            self._grant(min(due, key=lambda waiting: waiting.order), now)
            ready = self._ready(now)
        moments = [min(at, w.deadline) for at, w in ready if not self._fail_if_late(w, at, now)]
        self._set_timer(min(moments, default=math.inf))

    async def _wait(self, demand: Demand, paths: PathSet, deadline: float) -> None:
        waiting = _Waiting(demand, paths, deadline, next(self._numbers))
        self._waiting.append(waiting)
        self._reconsider()
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif not waiting.turn.cancelled() and not waiting.turn.exception():
                self._leave(demand)  # its turn had just come
            raise

    def _leave(self, demand: Demand) -> None:
        self._in_flight[demand.priority.is_watch] -= 1
        self._reconsider()

    def _grant(self, waiting: _Waiting, now: float) -> None:
        self._waiting.remove(waiting)
        if waiting.turn.cancelled():
            return
        self._in_flight[waiting.is_watch] += 1
        self._bucket(waiting).take(now)
        self._move_pace(waiting.demand.priority, now)
        waiting.turn.set_result(None)

    def _fail_if_late(self, waiting: _Waiting, ready_at: float, now: float) -> bool:
        """Fail a call that cannot have its turn before its deadline; return whether it cannot."""
        is_late = waiting.deadline <= now + RESOLUTION
        if not is_late and not waiting.deadline < ready_at < math.inf:
            return False
        self._waiting.remove(waiting)
        if not waiting.turn.cancelled():
            waiting.turn.set_exception(_no_turn(ready_at - now))
        return True

    def _ready(self, now: float) -> list[tuple[float, _Waiting]]:
        return [(self._ready_at(waiting, now), waiting) for waiting in self._waiting]

    def _ready_at(self, waiting: _Waiting, now: float) -> float:
        """Return when a call may go at the earliest; infinity while there is no free place."""
        is_watch = waiting.is_watch
        if self._in_flight[is_watch] >= MAX_IN_FLIGHT:
            return math.inf
        if is_watch and self._pace_free_at > now + RESOLUTION:
            return self._pace_free_at
        reserve = URGENT_BURST if waiting.demand.priority is Priority.ROUND else 0.0
        ready_at = self._bucket(waiting).ready_at(reserve=reserve)
        if not is_watch:
            return ready_at
        return max(
            ready_at, self._paused_until.get((waiting.demand.project_id, waiting.paths), now)
        )

    def _bucket(self, waiting: _Waiting) -> TokenBucket:
        key = waiting.demand.project_id, waiting.paths, waiting.is_watch
        if key not in self._buckets:
            share = WATCH_SHARE if waiting.is_watch else PERSON_SHARE
            self._buckets[key] = TokenBucket.of(waiting.paths * share)
        return self._buckets[key]

    def _move_pace(self, priority: Priority, now: float) -> None:
        if priority is Priority.FIRST_LOOK:
            moved = max(self._pace_free_at, now - LONGEST_LATENESS) + FIRST_LOOK_INTERVAL
        else:
            moved = max(self._pace_free_at, now) + CALL_INTERVAL
        self._pace_free_at = min(moved, now + LONGEST_DEBT)

    def _set_timer(self, moment: float) -> None:
        """Reconsider at this time, unless the timer is set for an earlier one."""
        if moment < self._timer_at:
            if self._timer:
                self._timer.cancel()
            self._timer_at = moment
            self._timer = asyncio.create_task(self._reconsider_at(moment), name="Atlas calls")

    async def _reconsider_at(self, moment: float) -> None:
        await self.sleep(max(moment - self.monotonic(), 0.0))
        self._timer, self._timer_at = None, math.inf
        self._reconsider()


def _no_turn(wait: float) -> AtlasUnavailable:
    """Return the error of a call without a turn; it would have to wait for so many seconds."""
    if math.isinf(wait):
        return TimedOut()
    return RateLimited(retry_after=max(wait, 1.0))
