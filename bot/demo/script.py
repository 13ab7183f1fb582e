"""Runs the demo as text: what people do, what they see, and the calls to Atlas."""

import asyncio
from typing import TextIO

from bot.demo.environment import open_environment
from bot.demo.scenes import SCENES, play_scene
from bot.demo.stage import REQUESTER, Output, Stage, state_of
from bot.tasks import cancel_and_wait

APPROVERS = ("ada", "abe")
REASON = "started on the wrong cluster"


async def play_all(out: TextIO) -> None:
    """Run one cancellation and each scene, and print them one after the other.

    All run at the same time, each in its own environment, because most of a scene is waiting.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    outputs = [Turn() for _ in range(len(SCENES) + 1)]
    plays = [play_script(outputs[0])]
    plays += [play_scene(scene, output) for scene, output in zip(SCENES, outputs[1:], strict=True)]
    tasks = [asyncio.create_task(play) for play in plays]
    try:
        for task, output in zip(tasks, outputs, strict=True):
            await output.print_until(task, out)
    finally:
        await cancel_and_wait(*tasks)


class Turn:
    """The output of one scene: it is kept until the scenes before it have ended."""

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


class Script(Stage):
    """One cancellation, with every call to Atlas."""

    async def run(self, fault: str) -> None:
        """Run it from the command to the outcome."""
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
            card = self.find_card()
            if state_of(card) != "awaiting":
                return
            self.print_step(f"{name.title()} sees the card and clicks “Approve”")
            self.print_blocks("card", card)
            await self.slack.people.clicks(name, card, "cancel_restore_approve")
            # A reply changes the message too, but not its blocks.
            shown = card["blocks"]
            await self.wait_for(
                lambda s=shown: self.find_card()["blocks"] != s,  # type: ignore[misc]  # bound now
                "the change of the card",
            )
