"""Lets few things begin at once, so that what comes in meanwhile is still answered at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How many have a turn at the same time, whatever there is to do. One event loop does a thing at a
#: time: when more is begun than it gets done, all of it is slow, and the acks that are due too.
AT_ONCE = 4

#: Seconds in which no turn ends, after which as many more begin, unless the event loop was busy:
#: who has a turn then waits for Atlas or Slack, and leaves room for others.
MOMENT = 0.01

#: The part of a moment in which a busy event loop works, where other programs want the core too.
BUSY = 0.25


class Turns:
    """Turns in the order of asking: some at a time, and more while the event loop has time.

    Args:
        at_once: how many may have one at the same time, however busy the event loop is.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._free = asyncio.Semaphore(at_once)
        self._beside = 0  # how many more may begin, as the event loop has time
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends."""
        async with self._line:
            one_of_few = await self._next()
        try:
            yield
        finally:
            if one_of_few:
                self._free.release()

    async def _next(self) -> bool:
        """Wait for one of the few turns; false for one beside them."""
        while not self._beside:
            begun, worked = time.monotonic(), time.thread_time()
            try:
                async with asyncio.timeout(MOMENT):
                    return await self._free.acquire()
            except TimeoutError:
                if time.thread_time() - worked < BUSY * (time.monotonic() - begun):
                    self._beside = self._at_once
        self._beside -= 1
        return False
