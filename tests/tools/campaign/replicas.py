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

#: The source tree of these tests, whose bot runs even if another one is installed.
ROOT = Path(__file__).parents[3]

#: `serve`, with Slack's 45 edits a minute in each second: else a thousand requests last for hours.
SERVE = """\
import typer
from bot.cli.main import run_bot
from bot.timings import Timings


def serve() -> None:
    run_bot(Timings(edit_window=1.0))


typer.run(serve)
"""

#: Seconds between polls of a process.
POLL_INTERVAL = 0.05

#: Timeout of an orderly shutdown, and the tolerance for a busy machine, in seconds.
STOP_TIMEOUT = 10.0
TOLERANCE = 5.0

#: The log event of a started bot; one that cannot start logs the reason, and ends with 1.
READY = '"event": "ready"'


@dataclass(slots=True, kw_only=True)
class ProcessRecord:
    """One process of a bot, from its start to its end (monotonic seconds).

    Attributes:
        log: the name of the file with all that it wrote.
        signalled_at: when it got SIGTERM.
        paused_until: the end of its last pause.
        killed: whether the campaign killed it.
        overdue: whether it had to be killed since it did not end after SIGTERM.
        started: whether it logged that it was ready.
        code: its exit code, once it has ended.
    """

    log: str
    signalled_at: float | None = None
    paused_until: float = 0.0
    killed: bool = False
    overdue: bool = False
    started: bool = False
    code: int | None = None
    ended_at: float | None = None

    @property
    def late(self) -> bool:
        """Whether its orderly end is overdue."""
        return (self.seconds_to_end or 0.0) > STOP_TIMEOUT + TOLERANCE

    @property
    def seconds_to_end(self) -> float | None:
        """Seconds of its shutdown so far, without pauses."""
        if self.signalled_at is None:
            return None
        until = time.monotonic() if self.ended_at is None else self.ended_at
        return until - max(self.signalled_at, self.paused_until)

    @property
    def problem(self) -> str | None:
        """The problem of its end, as a clause, or None."""
        if self.overdue:
            return f"did not end within {STOP_TIMEOUT + TOLERANCE:g} s"
        if self.code in self._explained():
            return None
        return f"ended with {self.code}, {'after SIGTERM' if self.signalled_at else 'by itself'}"

    def _explained(self) -> set[int]:
        """The exit codes that its scenario explains."""
        is_stopping = self.signalled_at is not None
        codes = {0} if is_stopping else set()
        if self.killed:
            codes.add(-signal.SIGKILL)
        if not self.started:  # the database may be down; a signal may come too early
            codes |= {1, -signal.SIGTERM} if is_stopping else {1}
        return codes


@dataclass(slots=True)
class Replica:
    """A restarted bot. Its logs stay in `folder`, a file for each process."""

    name: str
    environ: Mapping[str, str]
    folder: Path
    restart_delay: float = 1.0  # seconds between an exit and the next start
    bot: BotProcess | None = None
    processes: list[ProcessRecord] = field(default_factory=list)
    paused: bool = False
    _keeping: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self.bot is not None and self.bot.code is None

    @property
    def is_stopping(self) -> bool:
        """Whether it got SIGTERM; it needs no second one."""
        return bool(self.processes) and self.processes[-1].signalled_at is not None

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
                await asyncio.sleep(4 * POLL_INTERVAL)

    async def close(self) -> None:
        """Shut it down."""
        assert self._keeping
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        if self.bot:
            self.send(signal.SIGCONT)
            if not self.is_stopping:
                self.send(signal.SIGTERM)
            await self._until_ended(self.bot)

    def send(self, what: signal.Signals) -> bool:
        """Send a signal; False without a process."""
        if self.bot is None or self.bot.code is not None:
            return False
        os.kill(self.bot.pid, what)
        process = self.processes[-1]
        if what is signal.SIGTERM:
            process.signalled_at = time.monotonic()
        process.killed = process.killed or what is signal.SIGKILL
        return True

    async def pause(self, seconds: float) -> bool:
        """Pause it by SIGSTOP."""
        bot = self.bot
        if not self.send(signal.SIGSTOP):
            return False
        process = self.processes[-1]
        self.paused = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self.paused = False
            if bot is self.bot:
                self.send(signal.SIGCONT)
            process.paused_until = time.monotonic()
        return True

    async def _keep(self) -> None:
        while True:
            log = f"{self.name}-{len(self.processes) + 1:03d}.log"
            self.processes.append(ProcessRecord(log=log))
            environ = {"PYTHONPATH": str(ROOT), **self.environ}
            self.bot = BotProcess(environ, program=("-c", SERVE)).__enter__()
            await self._until_ended(self.bot)
            self.bot = None
            await asyncio.sleep(self.restart_delay)

    async def _until_ended(self, bot: BotProcess) -> None:
        """Wait for its exit, and keep its log."""
        process = self.processes[-1]
        while bot.code is None:
            if process.late and not self.paused:
                process.overdue = True
                bot.kill()
            await asyncio.sleep(POLL_INTERVAL)
        process.ended_at, process.code = time.monotonic(), bot.code
        process.started = READY in bot.log
        (self.folder / process.log).write_text(bot.log)
        bot.__exit__(None, None, None)
