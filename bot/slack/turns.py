"""Lets few things begin at once, so that what comes in meanwhile is still answered at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How many have a turn at the same time. One event loop does a thing at a time: when more is begun
#: than it gets done, all of it is slow, and the acks that are due meanwhile too.
AT_ONCE = 4

#: Seconds after which one more begins although no turn has ended: those who have one may be waiting
#: for somebody else, and not for the event loop. Half of it, and half again, while that goes on.
LONGEST, SHORTEST = 0.03, 0.005


class Turns:
    """Turns in the order of asking.

    Args:
        at_once: how many may have one at the same time.
        longest: seconds that the next in line waits for one of them to end, at first.
        shortest: the same, once several have waited in vain.
    """

    def __init__(
        self, at_once: int = AT_ONCE, longest: float = LONGEST, shortest: float = SHORTEST
    ) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._line = asyncio.Lock()
        self._longest = self._wait = longest
        self._shortest = shortest

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends."""
        one_of_few = await self._next()
        try:
            yield
        finally:
            if one_of_few:
                self._free.release()

    async def _next(self) -> bool:
        """Wait in line; false for a turn beside the few, which take so long."""
        async with self._line:
            try:
                async with asyncio.timeout(self._wait):
                    await self._free.acquire()
            except TimeoutError:
                self._wait = max(self._wait / 2, self._shortest)
                return False
            self._wait = self._longest
            return True
