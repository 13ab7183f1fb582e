"""50 people at once while eight busy loops take the machine: acks, outcomes, work cut off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.storage.database import TIMED_OUT
from tests.tools.bench.footprint import channel_id, open_house
from tests.tools.bench.report import Goal, Row, Table, median

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.event_bus import ChangeEvent
    from tests.tools.bench.footprint import House
    from tests.tools.bench.report import Cell, Scale

PEOPLE = 50

#: What else runs on the machine meanwhile.
LOOPS = {"a quiet machine": 0, "eight busy loops": 8}

#: Seconds that Slack gives an ack, and in which everybody must have an outcome.
ACK_WITHIN = 3.0
PATIENCE = 60.0

COLUMNS = (
    *("cancelled, and said so", "DELETEs", "command's ack, worst s", "dialog, worst s"),
    *("submission's ack, worst s", "outcome, median s", "outcome, worst s", "cut off"),
)

NOTES = (
    "Everybody types the command at once, and submits as soon as the dialog has the job's details.",
    f"Cut off: how often the log says “{TIMED_OUT}”. Whatever is cut off is tried again or told.",
    "The busy loops take their share from the bot and from the stand-ins of Slack and Atlas alike.",
)


@dataclass(slots=True)
class Rush:
    """What was seen of people who all ask at once; each one's seconds from the command on."""

    house: House
    commands: list[float] = field(default_factory=list)
    dialogs: list[float] = field(default_factory=list)
    submissions: list[float] = field(default_factory=list)
    outcomes: dict[str, float] = field(default_factory=dict)
    deletes: int = 0
    refused: int = 0
    cut_off: int = 0
    _began: float = 0.0

    async def happens(self, people: Sequence[str]) -> None:
        """Let each ask for one job, in a channel of their own, until all have an outcome."""
        self._began = time.monotonic()
        told = asyncio.create_task(
            self.house.slack.until(lambda: len(self.outcomes) == len(people), PATIENCE)
        )
        await asyncio.gather(*(self._asks(who, at) for at, who in enumerate(people)))
        await told
        self.cut_off = self.house.bot.log.count(TIMED_OUT)

    async def _asks(self, person: str, number: int) -> None:
        job = self.house.job()
        view = await self.house.looks_up(person, channel_id(number), job, self.commands.append)
        self.dialogs.append(time.monotonic() - self._began)
        began = time.monotonic()
        ack = await self.house.slack.people.submits(person, view, {"reason": "started by mistake"})
        self.submissions.append(time.monotonic() - began)
        self.refused += not ack.ok

    def slack_changed(self, item: ChangeEvent) -> None:
        message: Mapping[str, Any] = item.data.get("message") or {}
        told = (message.get("metadata") or {}).get("event_payload") or {}
        if item.kind == "message" and "thread_ts" in message and told.get("state") == "cancelled":
            self.outcomes.setdefault(message["thread_ts"], time.monotonic() - self._began)

    def atlas_answered(self, call: Call) -> None:
        self.deletes += call.method == "DELETE" and call.status != 401

    @property
    def latest_ack(self) -> float:
        return max(*self.commands, *self.submissions)

    def cells(self) -> list[Cell]:
        outcomes = list(self.outcomes.values())
        return [
            len(outcomes),
            self.deletes,
            max(self.commands),
            max(self.dialogs),
            max(self.submissions),
            median(outcomes),
            max(outcomes),
            self.cut_off,
        ]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep so many processes busy with nothing, and end them."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


async def rush(loops: int) -> Rush:
    """Have everybody ask a warm bot at once."""
    async with open_house() as house:
        people = [house.person(number) for number in range(PEOPLE)]
        await house.work(PEOPLE)
        seen = Rush(house)
        unsubscribe = [
            house.slack.world.events.subscribe(seen.slack_changed),
            house.atlas.recorder.subscribe(seen.atlas_answered),
        ]
        with busy(loops):
            await seen.happens(people)
        for each in unsubscribe:
            each()
    return seen


async def measure(scale: Scale) -> list[Table]:
    kinds = scale.pick({"eight busy loops": 8}, LOOPS)
    seen = {name: await rush(loops) for name, loops in kinds.items()}
    every = seen.values()
    goals = [
        Goal.at_most(
            f"every ack within {ACK_WITHIN:g} s (worst, s)",
            max(each.latest_ack for each in every),
            ACK_WITHIN,
        ),
        Goal.at_most("submissions not taken", sum(each.refused for each in every), 0),
        Goal.at_most("more than one DELETE each", max(it.deletes for it in every) - PEOPLE, 0),
        Goal.at_most("work of the ledger cut off", sum(each.cut_off for each in every), 0),
    ]
    rows = [Row(name, each.cells()) for name, each in seen.items()]
    title = f"Under pressure: {PEOPLE} people ask at once"
    return [Table(title=title, columns=COLUMNS, rows=rows, goals=goals, notes=NOTES)]
