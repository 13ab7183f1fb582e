"""How long a read is tried again: growing pauses with jitter, within a limit of total seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bot.atlas.errors import AtlasUnavailable
from bot.backoff import backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

FIRST_PAUSE = 0.3
LONGEST_PAUSE = 5.0
#: Tries of one read, whatever the clock says.
MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, so that tests need neither.

    Attributes:
        sleep: waits seconds.
        monotonic: seconds that never jump.
        jitter: a number from 0 to 1.
    """

    sleep: Callable[[float], Awaitable[None]]
    monotonic: Callable[[], float]
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The seconds and tries that a read has, its pauses included."""

    clock: Clock
    until: float
    tries: int = MOST_TRIES

    @classmethod
    def of(cls, seconds: float, clock: Clock, tries: int = MOST_TRIES) -> Deadline:
        return cls(clock, clock.monotonic() + seconds, tries)

    def left(self) -> float:
        return self.until - self.clock.monotonic()


async def retry_until(attempt: Callable[[float], Awaitable[_T]], budget: Deadline) -> _T:
    """Call `attempt` with the seconds left until it succeeds; give up when another pause won't fit.

    Raises:
        AtlasRejected: at once.
        AtlasUnavailable: the last one.
    """
    tried = 0
    while True:
        tried += 1
        try:
            return await attempt(budget.left())
        except AtlasUnavailable as trouble:
            wait = backoff(
                tried,
                first=FIRST_PAUSE,
                longest=LONGEST_PAUSE,
                jitter=budget.clock.jitter(),
                retry_after=trouble.retry_after,
            )
            if tried >= budget.tries or wait >= budget.left():
                raise
        await budget.clock.sleep(wait)
