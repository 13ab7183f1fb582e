"""Bots as real processes that are kept alive: whichever dies is started again."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.process import BotProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The bot that runs is the one beside these tests, installed or not.
ROOT = Path(__file__).parents[2]

#: Seconds between looks at a process.
LOOK = 0.05

#: Seconds in which an orderly end must come, and what a busy machine may add.
END_WITHIN = 10.0
BUSY = 5.0


@dataclass(slots=True)
class Replica:
    """One place for a bot. Its logs stay in `folder`, a file for each life."""

    name: str
    environ: Mapping[str, str]
    folder: Path
    away: float = 1.0  # seconds between a death and the next start
    bot: BotProcess | None = None
    lives: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    slowest_end: float = 0.0
    paused: bool = False
    _told_at: float | None = None
    _keeping: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self.bot is not None and self.bot.code is None

    @property
    def port(self) -> int | None:
        return self.bot.port if self.bot and self.alive else None

    @property
    def pid(self) -> int | None:
        return self.bot.pid if self.bot and self.alive else None

    def open(self) -> None:
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def ready(self, seconds: float = 60.0) -> None:
        """Wait until it is there and ready; raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while True:
                if self.bot and self.alive and await self.bot.status("/readyz") == 200:
                    return
                await asyncio.sleep(4 * LOOK)

    async def close(self) -> int | None:
        """End it in good order and return its exit code."""
        assert self._keeping
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        if self.bot is None:
            return None
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return await self._laid_to_rest(self.bot)

    def send(self, what: signal.Signals) -> bool:
        """Send a signal; False when nobody is there."""
        if self.bot is None or self.bot.code is not None:
            return False
        os.kill(self.bot.pid, what)
        if what is signal.SIGTERM:
            self._told_at = time.monotonic()
        return True

    async def pause(self, seconds: float) -> bool:
        """Stop it in its tracks for a while."""
        bot = self.bot
        if not self.send(signal.SIGSTOP):
            return False
        self.paused, self._told_at = True, None  # an end that waits for this is no slow one
        try:
            await asyncio.sleep(seconds)
        finally:
            self.paused = False
            if bot is self.bot:
                self.send(signal.SIGCONT)
        return True

    async def _keep(self) -> None:
        while True:
            self.lives += 1
            self._told_at = None
            self.bot = BotProcess({"PYTHONPATH": str(ROOT), **self.environ}).__enter__()
            await self.bot.ended(math.inf)
            await self._laid_to_rest(self.bot)
            self.bot = None
            await asyncio.sleep(self.away)

    async def _laid_to_rest(self, bot: BotProcess) -> int:
        try:
            code = await bot.ended(END_WITHIN + BUSY)
        except TimeoutError:
            bot.kill()
            code = await bot.ended()
        if self._told_at is not None:
            self.slowest_end = max(self.slowest_end, time.monotonic() - self._told_at)
        self.codes[code] += 1
        (self.folder / f"{self.name}-{self.lives:03d}.log").write_text(bot.log)
        bot.__exit__(None, None, None)
        return code
