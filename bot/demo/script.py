"""Runs the demo as text: what people do, what they see, and the calls to Atlas."""

import asyncio
from typing import TextIO

from bot.demo.environment import open_environment
from bot.demo.script_scenarios import SCRIPT_SCENARIOS, run_scenario
from bot.demo.script_session import REQUESTER, Output, ScriptSession, state_of
from bot.tasks import cancel_and_wait

APPROVERS = ("ada", "abe")
REASON = "started on the wrong cluster"


async def play_all(out: TextIO) -> None:
    """Run one cancellation and each scenario, and print them one after the other.

    All run at the same time, each in its own environment, because most of a scenario is waiting.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    outputs = [BufferedOutput() for _ in range(len(SCRIPT_SCENARIOS) + 1)]
    plays = [play_script(outputs[0])]
    plays += map(run_scenario, SCRIPT_SCENARIOS, outputs[1:])
    tasks = [asyncio.create_task(play) for play in plays]
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


async def play_script(out: Output, *, approvals: int = 0, fault: str = "") -> None:
    """Run one cancellation and print it.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    async with open_environment(approvals=approvals) as environment:
        await Script(environment, out).run(fault)


class Script(ScriptSession):
    """One cancellation, with every call to Atlas."""

    async def run(self, fault: str) -> None:
        """Run it from the command to the outcome."""
        self.print_title("A download started by mistake", "With every call to Atlas.")
        job = self.start_download()
        self.print_step("The bot starts and reads the project's name from Atlas")
        await self.wait_for_project_name()
        self.print_step("Rina types a command in #ops")
        await self._open_dialog(job)
        if fault:
            self.atlas.faults.preset(fault)
        self.print_step("Rina clicks “Cancel the job”")
        await self.submit({"reason": REASON})
        await self._approve_while_awaiting()
        await self.wait_for_outcome()
        self.print_step("The outcome, in #ops")
        card = self.find_card()
        self.print_blocks("card", card)
        for reply in self.slack.state.replies(card):
            self.print_blocks("thread", reply)
        self.print_result(job)

    async def _open_dialog(self, job: str) -> None:
        """Open the dialog, and print it as it opens and with the job's details."""
        await self.type_command(job)
        view = await self.wait_for(lambda: self.slack.state.view_of(REQUESTER), "a dialog")
        self.print_blocks("dialog", view)
        self.print_blocks("dialog", await self.wait_for_dialog())

    async def _approve_while_awaiting(self) -> None:
        for name in APPROVERS:
            if state_of(self.find_card()) != "awaiting":
                return
            await self._approve(name)

    async def _approve(self, name: str) -> None:
        card = self.find_card()
        self.print_step(f"{name.title()} sees the card and clicks “Approve”")
        self.print_blocks("card", card)
        await self.slack.people.clicks(name, card, "cancel_restore_approve")
        # A reply changes the message too, but not its blocks.
        shown = card["blocks"]
        await self.wait_for(lambda: self.find_card()["blocks"] != shown, "the change of the card")
