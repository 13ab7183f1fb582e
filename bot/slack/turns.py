"""Lets few things begin at once, so that what comes in meanwhile is still answered at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How many have a turn at the same time. One event loop does a thing at a time: when more is begun
#: than it gets done, all of it is slow, and the acks that are due meanwhile too.
AT_ONCE = 4

#: Seconds after which a turn is over, whatever still goes on in it: that waits for somebody else,
#: not for the event loop.
LONGEST = 0.025


class Turns:
    """Turns in the order of asking.

    Args:
        at_once: how many may have one at the same time.
        longest: seconds after which the next may begin beside one that still goes on.
    """

    def __init__(self, at_once: int = AT_ONCE, longest: float = LONGEST) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._longest = longest

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends or has taken too long."""
        await self._free.acquire()
        with ExitStack() as turn:
            turn.callback(self._free.release)
            over = asyncio.get_running_loop().call_later(self._longest, turn.close)
            turn.callback(over.cancel)
            yield
