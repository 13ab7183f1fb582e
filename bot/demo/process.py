"""The bot as a process of its own, so that it can be killed for real and started again."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import bot
from bot.startup_checks import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What any program needs; nothing else of the surroundings reaches the bot, no proxy above all.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "VIRTUAL_ENV")

#: Seconds for an orderly end, which takes the bot at most ten.
END = 12.0


class BotProcess:
    """Runs `serve` in `folder`, where its ledger and its log are.

    Args:
        folder: the working directory: no `.env` of anybody's is read.

    Attributes:
        told: called whenever the process has ended.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "bot.log"
        self.told: Callable[[], None] = lambda: None
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while none runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, environ: Mapping[str, str]) -> None:
        """Start it with these settings."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot.demo.bot_entry"),
                cwd=self._folder,
                env={**_surroundings(), **environ},
                stdin=asyncio.subprocess.PIPE,  # its end tells the bot that the demo has ended
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watch = asyncio.create_task(self._tell_the_end(self._process))

    async def _tell_the_end(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self.told()

    async def ended(self) -> None:
        """Wait for the end of the process.

        Raises:
            StartError: always, with the last that the bot wrote.
        """
        if self._process:
            await self._process.wait()
        raise StartError(f"The bot ended by itself: {self._last_line()}")

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "it wrote nothing.")

    async def kill(self) -> None:
        """End it as `kill -9` does: it cannot finish anything."""
        if self._process and self.pid:
            self._process.kill()
        await self._gone()

    async def stop(self) -> None:
        """End it in good order; one that does not end in time is killed."""
        if self._process and self.pid:
            self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), END)
        await self.kill()

    async def _gone(self) -> None:
        if self._watch:
            await self._watch


def _surroundings() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # The package is found from its own folder, installed or not.
    return kept | {"PYTHONPATH": str(Path(bot.__file__).parents[1]), "NO_COLOR": "1"}
