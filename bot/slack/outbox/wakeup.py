"""A wait that ends when there is something to do, or when it is time to look anyway."""

from __future__ import annotations

import asyncio
import random

from bot.timings import Timings


class Wakeup:
    """Wakes whoever waits; a call that comes between two waits is not lost.

    Args:
        interval: seconds after which a wait ends by itself, give or take a quarter.
    """

    def __init__(self, interval: float = Timings.outbox_poll_interval) -> None:
        self._interval = interval
        self._called = asyncio.Event()

    def call(self) -> None:
        """End the wait at once: something was written."""
        self._called.set()

    def looking(self) -> None:
        """Say that a look begins: what is written from now on needs another one."""
        self._called.clear()

    async def wait(self) -> None:
        # Jitter keeps replicas from looking at the same moment.
        seconds = self._interval * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        try:
            async with asyncio.timeout(seconds):
                await self._called.wait()
        except TimeoutError:
            return
