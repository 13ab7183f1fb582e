"""Runs the bot as its own process, so that the demo can kill it and start it again."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import bot
from bot.app import StartError

#: The only variables that the bot inherits: no proxy and no setting of the machine reaches it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "VIRTUAL_ENV")

#: Seconds from SIGTERM to SIGKILL; an orderly shutdown takes at most ten.
STOP_TIMEOUT = 12.0


class BotProcess:
    """Runs `serve` in `folder`, which contains its database and its log.

    Args:
        folder: the working directory; it contains no `.env`.

    Attributes:
        on_exit: called after the process has exited.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "bot.log"
        self.on_exit: Callable[[], None] = lambda: None
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while none runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, environ: Mapping[str, str]) -> None:
        """Start the process with these settings."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot.demo.bot_entry"),
                cwd=self._folder,
                env={**base_environ(), **environ},
                stdin=asyncio.subprocess.PIPE,  # closed with the demo, at which the bot stops
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watch = asyncio.create_task(self._report_exit(self._process))

    async def _report_exit(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self.on_exit()

    async def raise_at_exit(self) -> None:
        """Wait until the process exits.

        Raises:
            StartError: always, with the last line of the bot's log.
        """
        if self._process:
            await self._process.wait()
        raise StartError(f"The bot exited: {self._last_line()}")

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "its log is empty.")

    async def kill(self) -> None:
        """Send SIGKILL: the bot cannot finish anything."""
        if self._process and self.pid:
            self._process.kill()
        if self._watch:
            await self._watch

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after `STOP_TIMEOUT`."""
        if self._process and self.pid:
            self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        await self.kill()


def base_environ() -> dict[str, str]:
    """Return the variables that the bot has besides its settings."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # The package is found from its own folder, installed or not.
    return inherited | {"PYTHONPATH": str(Path(bot.__file__).parents[1]), "NO_COLOR": "1"}
