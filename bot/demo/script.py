"""Runs the demo as text: one scenario, or all of the menu."""

import asyncio
from typing import TextIO

from bot.demo.environment import open_demo
from bot.demo.scenarios import MENU, SCENARIOS
from bot.demo.script_plays import PLAYS, cancel
from bot.demo.script_session import Output, ScriptSession
from bot.tasks import cancel_and_wait

#: Scenarios that run at the same time: most of one is waiting.
AT_ONCE = 8

#: Seconds for which people pause in the scenarios that are told by the clock of the README: the
#: download began so much earlier, for the bot and the clock to count the same time to its link.
PAUSED = {"mistake": 44.0, "approval": 74.0}

PAUSES = (
    "The real bot, between a fake Slack and a fake Atlas. "
    "The times are an example: the demo waits neither for people nor for a whole watch interval."
)


async def play_all(out: TextIO) -> None:
    """Run every scenario of the menu, and print them one after the other.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    names = [scenario.name for scenarios in MENU.values() for scenario in scenarios]
    outputs = [BufferedOutput() for _ in names]
    places = asyncio.Semaphore(AT_ONCE)

    async def play(name: str, output: Output) -> None:
        async with places:
            await play_scenario(name, output)

    tasks = [asyncio.create_task(play(*pair)) for pair in zip(names, outputs, strict=True)]
    try:
        for task, output in zip(tasks, outputs, strict=True):
            await output.print_until(task, out)
    finally:
        await cancel_and_wait(*tasks)


class BufferedOutput:
    """The output of one scenario: it is kept until the scenarios before it have ended."""

    def __init__(self) -> None:
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, text: str, /) -> None:
        self._texts.put_nowait(text)

    async def print_until(self, task: asyncio.Task[None], out: TextIO) -> None:
        """Print what is written until the task has ended; raise its error."""
        task.add_done_callback(lambda _: self._texts.put_nowait(None))
        while (text := await self._texts.get()) is not None:
            out.write(text)
            out.flush()
        await task


async def play_scenario(name: str, out: Output, approvals: int = 0) -> None:
    """Run one scenario and print it.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    scenario = SCENARIOS[name]
    pauses = PAUSED.get(name, 0.0)
    settings = ", ".join(f"{name}={value}" for name, value in scenario.settings.items())
    about = PAUSES if pauses else scenario.fault or (settings and f"With {settings}")
    out.write(f"\n━━ {scenario.title}\n{f'   {about}{chr(10)}' if about else ''}\n")
    async with open_demo(name, approvals=approvals, pauses=pauses) as controller:
        session = ScriptSession(controller, out, pauses=pauses)
        await PLAYS.get(name, cancel)(session)
        session.print_result()
