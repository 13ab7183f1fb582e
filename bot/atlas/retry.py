"""How long a read is tried again: growing pauses with jitter, within a limit of total seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bot.atlas.errors import AtlasUnavailable

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


def pause(tried: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds to wait after `tried` tries: what Atlas asks for, or twice the last.

    Jitter spreads callers that failed together: up to half less of our own pause, up to a tenth
    more of Atlas's.
    """
    own: float = min(FIRST_PAUSE * 2 ** (tried - 1), LONGEST_PAUSE) * (1 - jitter / 2)
    return own if retry_after is None else max(own, retry_after * (1 + jitter / 10))


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
            wait = pause(tried, trouble.retry_after, budget.clock.jitter())
            if tried >= budget.tries or wait >= budget.left():
                raise
        await budget.clock.sleep(wait)
