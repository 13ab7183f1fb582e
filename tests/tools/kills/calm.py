"""Phases of a campaign: a storm of faults, then a calm in which each click must be answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(eq=False)
class Calm:
    """Whether no fault is in the way now, and the clicks that wait for their answer."""

    is_calm: bool = False
    _open: int = 0
    _answered: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def click(self) -> AsyncIterator[bool]:
        """Yield whether the click was begun in a calm, which then lasts until its answer."""
        is_calm = self.is_calm
        self._open += is_calm
        try:
            yield is_calm
        finally:
            self._open -= is_calm
            if not self._open:
                self._answered.set()

    async def end(self) -> None:
        """Let no further click count, and wait for the answers."""
        self.is_calm = False
        while self._open:
            self._answered.clear()
            await self._answered.wait()
