"""What is left of a project's rate limit at Atlas: looking around keeps a share for the cancel."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot.cancellation.errors import RateLimitReserved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The documented size of the bucket that all calls about backups of a project share, and what
#: comes back in a second (500 a minute). Atlas may change both; its own word counts, where it says.
LIMIT = 1200
REFILL = 500 / 60

#: One part in so many is never used for looking around.
SHARE = 5

#: Calls above that share which others (the cancel itself, another replica) may have under way.
MARGIN = 16

#: Seconds after which one call finds out whether the bucket has filled up again.
PAUSE = 10.0


class RateLimitBudget:
    """A gauge of one project's bucket, fed with what Atlas says in its answers.

    Args:
        monotonic: seconds that never jump.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._limit = LIMIT
        self._left = float(LIMIT)
        self._at = monotonic()
        self._flying = 0
        self._tells = False

    def seen(self, remaining: int | None, limit: int | None = None) -> None:
        """Note an answer; without a count (API v1.0) it is taken to have cost one call."""
        if remaining is None:
            self._guess()
            self._left -= 1
            return
        self._tells = True
        self._limit = limit or self._limit
        self._left, self._at = float(remaining), self._monotonic()

    @contextmanager
    def call(self, *, keep: float = 1 / SHARE) -> Iterator[None]:
        """Make one call of looking around.

        Args:
            keep: the part of the bucket that is not for this kind of call.

        Raises:
            RateLimitReserved: no more than that is left.
        """
        if not self._may_call(keep):
            raise RateLimitReserved
        self._flying += 1
        try:
            yield
        finally:
            self._flying -= 1

    def _may_call(self, keep: float) -> bool:
        self._guess()
        if self._left - self._flying > self._limit * keep + MARGIN:
            return True
        # Refill does not go by the clock (it was seen to jump), so now and then one call asks.
        if self._flying or self._monotonic() - self._at < PAUSE:
            return False
        self._at = self._monotonic()
        return True

    def _guess(self) -> None:
        """Where Atlas says nothing, go by what it documents."""
        if self._tells:
            return
        now = self._monotonic()
        self._left = min(self._limit, self._left + (now - self._at) * REFILL)
        self._at = now
