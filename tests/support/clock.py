"""Clocks for tests: time that a sleep moves, that a test advances, or that the loop skips."""

import asyncio
import heapq
import inspect
import math
import selectors
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes at once when everything waits for it.

    Work of threads takes no time, and is done in the loop's own thread.

    Attributes:
        clock: the wall clock, which goes with the time of the loop.
    """

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.clock = FakeClock()
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        return self.elapsed

    def wall(self) -> datetime:
        return self.clock.now

    def run_in_executor(
        self, executor: object, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the caller gets it, as from a thread
            done.set_exception(error)
        return done


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let a test, whose first argument is the loop, run in simulated time."""

    def run(**values: Any) -> None:
        simulate(lambda loop: test(loop, **values))

    signature = inspect.signature(test)
    others = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    run.__name__ = test.__name__
    return run


def simulate(work: Callable[[SimulatedLoop], Coroutine[Any, Any, T]]) -> T:
    """Run work in simulated time, and return its result."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        return runner.run(work(loop))


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing would ever happen again"
            self._loop.elapsed += timeout
            self._loop.clock.advance(timeout)
        return ready


def most_in(window: float, moments: Sequence[float]) -> int:
    """Return the largest number of moments in any window."""
    return max(sum(m <= other < m + window for other in moments) for m in moments)
