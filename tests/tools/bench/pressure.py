"""50 concurrent people on a machine with eight busy loops: acks, outcomes, timeouts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.storage.database import TIMED_OUT
from tests.acceptance.environment import state_of
from tests.tools.bench.footprint import channel_id, open_footprint_environment
from tests.tools.reporting.report import Goal, Row, Table, median

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.event_bus import ChangeEvent
    from tests.tools.bench.footprint import FootprintEnvironment
    from tests.tools.reporting.report import Cell, Scale

PEOPLE = 50

#: Busy loops that run on the machine at the same time.
LOOPS = {"a quiet machine": 0, "eight busy loops": 8}

#: Seconds until Slack's timeout of an ack, and until all people must have an outcome.
ACK_TIMEOUT = 3.0
OUTCOME_TIMEOUT = 60.0

COLUMNS = (
    *("cancelled", "DELETEs", "command's ack, worst s", "dialog, worst s"),
    *("submission's ack, worst s", "outcome, median s", "outcome, worst s", "timeouts"),
)

NOTES = (
    "All people send the command simultaneously, and submit as soon as the dialog shows the job.",
    f"Timeouts: how often the log has “{TIMED_OUT}”. The bot retries or reports each.",
    "The busy loops slow the bot and the fake servers alike.",
)


@dataclass(slots=True)
class ConcurrentRequests:
    """The results of concurrent requests; times are seconds from the command."""

    env: FootprintEnvironment
    commands: list[float] = field(default_factory=list)
    dialogs: list[float] = field(default_factory=list)
    submissions: list[float] = field(default_factory=list)
    outcomes: dict[str, float] = field(default_factory=dict)
    deletes: int = 0
    refused: int = 0
    timeouts: int = 0
    _began: float = 0.0

    async def run(self, people: Sequence[str]) -> None:
        """Let each person request one job in a separate channel, and wait for all outcomes."""
        self._began = time.monotonic()
        payload = asyncio.create_task(
            self.env.slack.until(lambda: len(self.outcomes) == len(people), OUTCOME_TIMEOUT)
        )
        await asyncio.gather(*(self._request(person, at) for at, person in enumerate(people)))
        await payload
        self.timeouts = self.env.bot.log.count(TIMED_OUT)

    async def _request(self, person: str, number: int) -> None:
        job = self.env.job()
        view = await self.env.open_dialog(person, channel_id(number), job, self.commands.append)
        self.dialogs.append(time.monotonic() - self._began)
        began = time.monotonic()
        ack = await self.env.slack.people.submits(person, view, {"reason": "started by mistake"})
        self.submissions.append(time.monotonic() - began)
        self.refused += not ack.ok

    def slack_changed(self, item: ChangeEvent) -> None:
        message = item.data.get("message") or {}
        is_reply = item.kind == "message" and "thread_ts" in message
        if is_reply and state_of(message) == "cancelled":
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
            self.timeouts,
        ]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Run this many busy processes, and kill them at the end."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


async def run_once(loops: int) -> ConcurrentRequests:
    """Let all people request simultaneously from a warm bot."""
    async with open_footprint_environment() as env:
        people = [env.person(number) for number in range(PEOPLE)]
        await env.run_requests(PEOPLE)
        seen = ConcurrentRequests(env)
        unsubscribe = [
            env.slack.world.events.subscribe(seen.slack_changed),
            env.atlas.recorder.subscribe(seen.atlas_answered),
        ]
        with busy(loops):
            await seen.run(people)
        for each in unsubscribe:
            each()
    return seen


async def measure(scale: Scale) -> list[Table]:
    kinds = scale.pick({"eight busy loops": 8}, LOOPS)
    seen = {name: await run_once(loops) for name, loops in kinds.items()}
    every = seen.values()
    goals = [
        Goal.at_most(
            f"every ack within {ACK_TIMEOUT:g} s (worst, s)",
            max(each.latest_ack for each in every),
            ACK_TIMEOUT,
        ),
        Goal.at_most("rejected submissions", sum(each.refused for each in every), 0),
        Goal.at_most("superfluous DELETEs", max(it.deletes for it in every) - PEOPLE, 0),
        Goal.at_most("timeouts of the database", sum(each.timeouts for each in every), 0),
    ]
    rows = [Row(name, each.cells()) for name, each in seen.items()]
    title = f"Under load: {PEOPLE} simultaneous requests"
    return [Table(title=title, columns=COLUMNS, rows=rows, goals=goals, notes=NOTES)]
