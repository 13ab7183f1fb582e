"""Bots as processes that are restarted when they exit."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.process import BotProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The bot that runs is the one beside these tests, installed or not.
ROOT = Path(__file__).parents[3]

#: Seconds between looks at a process.
LOOK = 0.05

#: Seconds in which an orderly end must come, and what a busy machine may add.
END_WITHIN = 10.0
BUSY = 5.0

#: What a bot logs once it has started; one that cannot start says why, and ends with 1.
READY = '"event": "ready"'


@dataclass(slots=True, kw_only=True)
class Life:
    """One life of a bot, from its start to its end (seconds that never jump).

    Attributes:
        log: the name of the file with all that it wrote.
        told_at: when it was told to end.
        stood_still_until: until when it was last kept from doing anything.
        killed: whether the campaign killed it.
        overdue: whether it had to be killed since it did not end as it was told.
        started: whether it said that it was ready.
        code: its exit code, once it has ended.
    """

    log: str
    told_at: float | None = None
    stood_still_until: float = 0.0
    killed: bool = False
    overdue: bool = False
    started: bool = False
    code: int | None = None
    ended_at: float | None = None

    @property
    def late(self) -> bool:
        """Whether its orderly end is overdue."""
        return (self.seconds_to_end or 0.0) > END_WITHIN + BUSY

    @property
    def seconds_to_end(self) -> float | None:
        """How long its orderly end has taken, since it could do something about it."""
        if self.told_at is None:
            return None
        until = time.monotonic() if self.ended_at is None else self.ended_at
        return until - max(self.told_at, self.stood_still_until)

    @property
    def odd(self) -> str | None:
        """What is not as it must be about its end, as a clause."""
        if self.overdue:
            return f"did not end within {END_WITHIN + BUSY:g} s"
        if self.code in self._explained():
            return None
        return f"ended with {self.code}, {'as it was told to' if self.told_at else 'by itself'}"

    def _explained(self) -> set[int]:
        """The exit codes that its scenario explains."""
        told = self.told_at is not None
        codes = {0} if told else set()
        if self.killed:
            codes.add(-signal.SIGKILL)
        if not self.started:  # the database may be away; a signal may come before it can hear
            codes |= {1, -signal.SIGTERM} if told else {1}
        return codes


@dataclass(slots=True)
class Replica:
    """One place for a bot. Its logs stay in `folder`, a file for each life."""

    name: str
    environ: Mapping[str, str]
    folder: Path
    away: float = 1.0  # seconds between a death and the next start
    bot: BotProcess | None = None
    lives: list[Life] = field(default_factory=list)
    paused: bool = False
    _keeping: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self.bot is not None and self.bot.code is None

    @property
    def told(self) -> bool:
        """Whether it knows that it is to end; once is enough, as its last moments are Python's."""
        return bool(self.lives) and self.lives[-1].told_at is not None

    @property
    def port(self) -> int | None:
        return self.bot.port if self.bot and self.alive else None

    @property
    def pid(self) -> int | None:
        return self.bot.pid if self.bot and self.alive else None

    @property
    def slowest_end(self) -> float:
        """Seconds that the slowest orderly end took."""
        told = [life.seconds_to_end or 0.0 for life in self.lives if not life.killed]
        return max(told, default=0.0)

    def open(self) -> None:
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def ready(self, seconds: float = 60.0) -> None:
        """Wait until it is there and ready; raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while True:
                if self.bot and self.alive and await self.bot.status("/readyz") == 200:
                    return
                await asyncio.sleep(4 * LOOK)

    async def close(self) -> None:
        """End it in good order."""
        assert self._keeping
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        if self.bot:
            self.send(signal.SIGCONT)
            if not self.told:
                self.send(signal.SIGTERM)
            await self._until_ended(self.bot)

    def send(self, what: signal.Signals) -> bool:
        """Send a signal; False without a process."""
        if self.bot is None or self.bot.code is not None:
            return False
        os.kill(self.bot.pid, what)
        life = self.lives[-1]
        if what is signal.SIGTERM:
            life.told_at = time.monotonic()
        life.killed = life.killed or what is signal.SIGKILL
        return True

    async def pause(self, seconds: float) -> bool:
        """Stop it in its tracks for a while."""
        bot = self.bot
        if not self.send(signal.SIGSTOP):
            return False
        life = self.lives[-1]
        self.paused = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self.paused = False
            if bot is self.bot:
                self.send(signal.SIGCONT)
            life.stood_still_until = time.monotonic()
        return True

    async def _keep(self) -> None:
        while True:
            log = f"{self.name}-{len(self.lives) + 1:03d}.log"
            self.lives.append(Life(log=log))
            self.bot = BotProcess({"PYTHONPATH": str(ROOT), **self.environ}).__enter__()
            await self._until_ended(self.bot)
            self.bot = None
            await asyncio.sleep(self.away)

    async def _until_ended(self, bot: BotProcess) -> None:
        """Wait for its end, however it comes, and keep its log."""
        life = self.lives[-1]
        while bot.code is None:
            if life.late and not self.paused:
                life.overdue = True
                bot.kill()
            await asyncio.sleep(LOOK)
        life.ended_at, life.code = time.monotonic(), bot.code
        life.started = READY in bot.log
        (self.folder / life.log).write_text(bot.log)
        bot.__exit__(None, None, None)
