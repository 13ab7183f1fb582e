"""Reads of lists that callers share: one call for simultaneous ones, and young answers again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar, cast

from bot.atlas.errors import TimedOut
from bot.atlas.limiter import CallLimiter, Demand, Priority, set_of
from bot.atlas.models import ReadItems
from bot.atlas.protocol import ApiCall
from bot.atlas.reader import Gate
from bot.tasks import cancel_and_wait

T = TypeVar("T")

PERSON_TIMEOUT = 8.0  #: seconds for a read that a person waits for, with its retries
#: Seconds for any other read, with its waits for turns. Each call in it has its own timeout.
OTHER_TIMEOUT = 900.0
#: Seconds after its begin in which a read in flight is shared with those who want a fresh one.
SHARED_WITHIN = 1.0
KEPT_FOR = 30.0  #: seconds for which answers are kept; a larger `max_age` finds no older ones
ANY_TIME = datetime.min.replace(tzinfo=UTC)

#: Starts a read whose calls go through the gate.
Load: TypeAlias = Callable[[Gate], Coroutine[Any, Any, ReadItems[T]]]


def timeout_of(priority: Priority) -> float:
    return PERSON_TIMEOUT if priority is Priority.PERSON else OTHER_TIMEOUT


def gate_of(
    limiter: CallLimiter, demand: Demand, on_turn: Callable[[], None] = lambda: None
) -> Gate:
    """Return a gate in which each call waits for its turn; then `on_turn` is called."""

    @asynccontextmanager
    async def gate(call: ApiCall, deadline: float) -> AsyncIterator[None]:
        async with limiter.turn(demand, set_of(call.path), deadline):
            on_turn()
            yield

    return gate


@dataclass(eq=False)
class SharedRead(Generic[T]):
    """A read of a list that runs or succeeded."""

    priority: Priority
    since: datetime  #: of events: from when on the answer has them
    began: float | None = None  #: when its first call was sent; None before
    read_at: datetime | None = None  #: the same by the clock of the callers
    task: "asyncio.Task[ReadItems[T]]" = field(init=False)

    async def wait(self, timeout: float) -> ReadItems[T]:
        """Return a copy of the answer; the read goes on after a timeout."""
        try:
            async with asyncio.timeout(timeout):
                items = await asyncio.shield(self.task)
        except TimeoutError as error:
            raise TimedOut from error
        return ReadItems(items, items.unread, self.read_at)


@dataclass(eq=False)
class SharedReads:
    """The reads of lists of one project, each under a key."""

    project_id: str
    limiter: CallLimiter
    now: Callable[[], datetime]
    monotonic: Callable[[], float]

    def __post_init__(self) -> None:
        self._latest: dict[str, SharedRead[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Cancel the reads in flight."""
        await cancel_and_wait(*self._tasks)

    async def get(
        self,
        key: str,
        load: Load[T],
        priority: Priority,
        max_age: float,
        since: datetime = ANY_TIME,
    ) -> ReadItems[T]:
        """Return the answer of a read that is young enough, or of a new one."""
        read = self._reusable(key, priority, max_age, since)
        if read is None:
            read = self._start(key, load, priority, since)
        # A new read ends a little earlier by itself, with the better error.
        return await cast("SharedRead[T]", read).wait(timeout_of(priority) + 1)

    def _reusable(
        self, key: str, priority: Priority, max_age: float, since: datetime
    ) -> SharedRead[Any] | None:
        read = self._latest.get(key)
        if read is None or priority is Priority.CANCEL or read.since > since:
            return None
        if read.began is None:  # it waits for its turn, no longer than a read of its own would
            is_alike = read.priority.is_watch == priority.is_watch
            return read if is_alike and read.priority <= priority else None
        age = self.monotonic() - read.began
        is_young = age < max_age or (not read.task.done() and age < SHARED_WITHIN)
        return read if is_young else None

    def _start(self, key: str, load: Load[T], priority: Priority, since: datetime) -> SharedRead[T]:
        read: SharedRead[T] = SharedRead(priority, since)
        demand = Demand(self.project_id, priority)
        gate = gate_of(self.limiter, demand, lambda: self._begin(read))
        read.task = asyncio.create_task(load(gate))
        self._tasks.add(read.task)
        if priority is not Priority.CANCEL:
            self._latest[key] = read
        read.task.add_done_callback(lambda _: self._end(key, read))
        return read

    def _begin(self, read: SharedRead[Any]) -> None:
        if read.began is None:  # it is the first of its calls
            read.began, read.read_at = self.monotonic(), self.now()

    def _end(self, key: str, read: SharedRead[Any]) -> None:
        """Forget a read that failed, and answers that are too old."""
        self._tasks.discard(read.task)
        failed = read.task.cancelled() or read.task.exception() is not None
        if failed and self._latest.get(key) is read:
            del self._latest[key]
        oldest = self.monotonic() - KEPT_FOR
        self._latest = {
            key: latest
            for key, latest in self._latest.items()
            if latest.began is None or latest.began >= oldest or not latest.task.done()
        }
