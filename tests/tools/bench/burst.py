"""500 commands in one second while Atlas answers 5 s late: acks, dialogs, memory, health."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.bench.report import Goal, Row, Table, median, percentile
from tests.tools.bench.stage import open_stage, pinned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.tools.bench.load import Sent
    from tests.tools.bench.report import Cell, Scale
    from tests.tools.bench.stage import Json, Stage

COMMANDS = 500
LATE = 5.0

#: Seconds that Slack gives an ack, and in which every dialog must have its answer.
ACK_WITHIN = 3.0
SETTLED_WITHIN = 30.0

#: MB that a burst may add.
MORE_MEMORY = 100.0

#: Seconds between looks at `/healthz` and at the memory.
LOOK = 0.1

#: How many different jobs the commands are about.
KINDS = {"about one job": 1, "about 20 jobs": 20, "about 500 jobs": COMMANDS}

COLUMNS = (
    *("acks in 3 s", "ack p50 ms", "ack worst ms", "details", "told what to do", "no answer"),
    *("settled in s", "MB before", "MB peak", "healthz worst ms"),
)


SEEN = (
    "details: the dialog shows the job, and it can be cancelled; told what to do: it says "
    "that Atlas did not answer in time, and has a button to try again."
)


@dataclass(slots=True)
class Watched:
    """What was seen of the bot meanwhile: MB, and seconds that `/healthz` took."""

    before: float
    peak: float = 0.0
    health: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Burst:
    """What one burst gave."""

    sent: Sequence[Sent]
    noted: Json
    watched: Watched

    @property
    def acks(self) -> list[float]:
        return [each.acked - each.due for each in self.sent]

    @property
    def in_time(self) -> int:
        return sum(each.status == 200 and each.acked - each.due < ACK_WITHIN for each in self.sent)

    @property
    def details(self) -> int:
        return sum(bool(submit) for _at, submit in self.noted["updated"].values())

    @property
    def answered(self) -> int:
        return len({*self.noted["updated"], *self.noted["told"]})

    @property
    def seconds(self) -> float:
        """From the first command to the last change of a dialog."""
        last = max([at for at, _ in self.noted["updated"].values()], default=float("nan"))
        return last - self.sent[0].due

    @property
    def cells(self) -> list[Cell]:
        watched = self.watched
        return [
            self.in_time,
            1000 * median(self.acks),
            1000 * max(self.acks),
            self.details,
            self.answered - self.details,
            len(self.sent) - self.answered,
            self.seconds,
            watched.before,
            watched.peak,
            1000 * max(watched.health),
        ]


async def measure(scale: Scale) -> list[Table]:
    """Send the burst about one job, about a few, and about as many as there are commands."""
    jobs = scale.pick({"about 500 jobs": COMMANDS}, KINDS)
    bursts = {name: await burst(count) for name, count in jobs.items()}
    return [table(bursts)]


async def burst(jobs: int) -> Burst:
    """Send one burst to a warm bot."""
    async with open_stage() as stage:
        texts = await asyncio.gather(*(stage.new_job() for _ in range(jobs)))
        await stage.settled(await stage.sends(stage.bot.port, 20.0, 20, texts), SETTLED_WITHIN)
        await stage.asks_atlas("POST", "faults", {"kind": "delay", "seconds": LATE, "times": None})
        async with watching(stage) as watched:
            sent = await stage.sends(stage.bot.port, float(COMMANDS), COMMANDS, texts)
            noted = await stage.settled(sent, SETTLED_WITHIN)
    return Burst(sent, noted, watched)


@asynccontextmanager
async def watching(stage: Stage) -> AsyncIterator[Watched]:
    """Look at health and memory all the while."""
    watched = Watched(before=mebibytes(stage.bot.pid, "VmRSS"))
    looking = asyncio.create_task(look(stage, watched))
    try:
        yield watched
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        watched.peak = mebibytes(stage.bot.pid, "VmHWM")


async def look(stage: Stage, watched: Watched) -> None:
    while True:
        began = time.monotonic()
        status = await stage.bot.status("/healthz")
        took = time.monotonic() - began
        watched.health.append(took if status == 200 else float("inf"))
        await asyncio.sleep(LOOK)


def mebibytes(pid: int, name: str) -> float:
    """Read a process's memory: `VmRSS` is now, `VmHWM` the most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def table(bursts: dict[str, Burst]) -> Table:
    seen = bursts.values()
    unanswered = max(len(each.sent) - each.answered for each in seen)
    more = max(each.watched.peak - each.watched.before for each in seen)
    late = max(percentile(each.acks, 1.0) for each in seen)
    missed = max(len(each.sent) - each.in_time for each in seen)
    health = max(max(each.watched.health) for each in seen)
    return Table(
        title=f"Burst: {COMMANDS} commands in one second, Atlas {LATE:g} s late",
        first="commands",
        columns=COLUMNS,
        rows=[Row(name, each.cells) for name, each in bursts.items()],
        goals=[
            Goal.at_most(f"every ack within {ACK_WITHIN:g} s (worst, s)", late, ACK_WITHIN),
            Goal.at_most("commands without a good ack", missed, 0),
            Goal.at_most("dialogs without an answer", unanswered, 0),
            Goal.at_most(f"memory grows by {MORE_MEMORY:g} MB at most", more, MORE_MEMORY),
            Goal.at_most("/healthz answers meanwhile (worst, s)", health, ACK_WITHIN),
        ],
        notes=[SEEN, pinned()],
    )
