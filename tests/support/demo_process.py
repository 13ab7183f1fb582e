"""The bot of the demo in a process that a server forks: its imports take a second."""

import asyncio
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from typing import cast

from bot.demo.process import BotProcess, base_environ
from tests.support.bot_entry import fork_bot
from tests.support.timings import DEMO_TIMINGS

#: Settings of the demo that tests would wait for, with shorter times.
SOONER = {
    "BOT_WATCH_INTERVAL": "1",
    "BOT_EVENTS_INTERVAL": "1",
    "BOT_REMIND_AFTER": "2,4,6",
}


class ForkedBotProcess(BotProcess):
    """As the demo's own, but for the start and shorter times.

    `tests/packaging` plays the demo with that one.
    """

    async def start(self, environ: Mapping[str, str]) -> None:
        self.log.touch()
        settings = {name: SOONER.get(name, value) for name, value in environ.items()}
        forked = fork_bot(DEMO_TIMINGS, base_environ() | settings, self._folder, self.log)
        self._process = cast("asyncio.subprocess.Process", _Process(forked))
        self._watch = asyncio.create_task(self._report_exit(self._process))


class _Process:
    """A forked process with what the demo needs of `asyncio.subprocess.Process`."""

    def __init__(self, forked: BaseProcess) -> None:
        self._forked = forked
        self.kill, self.terminate = forked.kill, forked.terminate
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(forked.sentinel, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._forked.sentinel)
        self._forked.join()
        self._ended.set()

    @property
    def pid(self) -> int | None:
        return self._forked.pid

    @property
    def returncode(self) -> int | None:
        return self._forked.exitcode if self._ended.is_set() else None

    async def wait(self) -> int | None:
        await self._ended.wait()
        return self.returncode
