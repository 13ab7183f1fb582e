"""500 commands in one second while Atlas answers 5 s late: acks, dialogs, memory, health."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.bench.load_environment import open_load_environment, pinned
from tests.tools.reporting.report import Goal, Row, Table, median, percentile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.tools.bench.load import Sent
    from tests.tools.bench.load_environment import Json, LoadEnvironment
    from tests.tools.reporting.report import Cell, Scale

COMMANDS = 500
LATE = 5.0

#: Seconds until Slack's timeout of an ack, and until every dialog must show its result.
ACK_TIMEOUT = 3.0
SETTLE_TIMEOUT = 30.0

#: MB by which memory may grow during a burst.
MAX_MEMORY_GROWTH = 100.0

#: Seconds between two reads of `/healthz` and of the memory.
POLL_INTERVAL = 0.1

#: The number of different jobs in the commands.
KINDS = {"about one job": 1, "about 20 jobs": 20, "about 500 jobs": COMMANDS}

COLUMNS = (
    *("acks in 3 s", "ack p50 ms", "ack worst ms", "details", "timed out", "no answer"),
    *("settled in s", "MB before", "MB peak", "healthz worst ms"),
)


SEEN = (
    "details: the dialog shows a job that can be cancelled; timed out: it shows that Atlas did not "
    "answer in time, with a button to try again."
)


@dataclass(slots=True)
class Watched:
    """Memory of the bot during the burst in MB, and the durations of `/healthz` in seconds."""

    before: float
    peak: float = 0.0
    health: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Burst:
    """The results of one burst."""

    sent: Sequence[Sent]
    noted: Json
    watched: Watched

    @property
    def acks(self) -> list[float]:
        return [each.acked - each.due for each in self.sent]

    @property
    def in_time(self) -> int:
        return sum(each.status == 200 and each.acked - each.due < ACK_TIMEOUT for each in self.sent)

    @property
    def details(self) -> int:
        return sum(bool(submit) for _at, submit in self.noted["updated"].values())

    @property
    def answered(self) -> int:
        return len({*self.noted["updated"], *self.noted["notified"]})

    @property
    def seconds(self) -> float:
        """Seconds from the first command to the last update of a dialog."""
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
    """Send bursts for one job, for 20 jobs, and for a different job in each command."""
    jobs = scale.pick({"about 500 jobs": COMMANDS}, KINDS)
    bursts = {name: await burst(count) for name, count in jobs.items()}
    return [table(bursts)]


async def burst(jobs: int) -> Burst:
    """Send one burst to a warm bot."""
    async with open_load_environment() as env:
        texts = await asyncio.gather(*(env.new_job() for _ in range(jobs)))
        await env.wait_until_settled(
            await env.send_commands(env.bot.port, 20.0, 20, texts), SETTLE_TIMEOUT
        )
        await env.call_atlas("POST", "faults", {"kind": "delay", "seconds": LATE, "times": None})
        async with watching(env) as watched:
            sent = await env.send_commands(env.bot.port, float(COMMANDS), COMMANDS, texts)
            noted = await env.wait_until_settled(sent, SETTLE_TIMEOUT)
    return Burst(sent, noted, watched)


@asynccontextmanager
async def watching(env: LoadEnvironment) -> AsyncIterator[Watched]:
    """Read health and memory until cancelled."""
    watched = Watched(before=mebibytes(env.bot.pid, "VmRSS"))
    observing = asyncio.create_task(observe(env, watched))
    try:
        yield watched
    finally:
        observing.cancel()
        await asyncio.gather(observing, return_exceptions=True)
        watched.peak = mebibytes(env.bot.pid, "VmHWM")


async def observe(env: LoadEnvironment, watched: Watched) -> None:
    while True:
        began = time.monotonic()
        status = await env.bot.status("/healthz")
        took = time.monotonic() - began
        watched.health.append(took if status == 200 else float("inf"))
        await asyncio.sleep(POLL_INTERVAL)


def mebibytes(pid: int, name: str) -> float:
    """Return a process's memory in MB: `VmRSS` is current, `VmHWM` the maximum."""
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
            Goal.at_most(f"every ack within {ACK_TIMEOUT:g} s (worst, s)", late, ACK_TIMEOUT),
            Goal.at_most("commands without a good ack", missed, 0),
            Goal.at_most("dialogs without a result", unanswered, 0),
            Goal.at_most(
                f"memory grows by {MAX_MEMORY_GROWTH:g} MB at most", more, MAX_MEMORY_GROWTH
            ),
            Goal.at_most("/healthz answers during the burst (worst, s)", health, ACK_TIMEOUT),
        ],
        notes=[SEEN, pinned()],
    )
