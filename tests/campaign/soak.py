"""Two bots on PostgreSQL under a steady load: memory and files stay flat, nothing is left over."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import structlog

from tests.bench.report import Goal, Row, Table, percentile
from tests.campaign.check_logs import problems_in_logs, traces_in
from tests.campaign.house import Plan, lag, opened
from tests.campaign.people import Story
from tests.campaign.town import CHANNELS
from tests.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.campaign.house import House
    from tests.campaign.options import Options
    from tests.campaign.people import People
    from tests.campaign.replicas import Replica

#: How many requests are under way at most; what comes then is not begun, and counted.
CROWD = 300

#: As many calls as the load needs, of one project: Atlas itself takes 500 a minute, so that so many
#: cancellations would be of a dozen projects.
CALLS_A_MINUTE = 20_000

PLAN = Plan(
    name="soak",
    mode="socket",
    replicas=2,
    people=2 * CROWD,
    direct=True,
    calls_a_minute=CALLS_A_MINUTE,
)

#: Seconds between samples, and the share of the time that counts as warming up.
EVERY = 2.0
WARM_UP = 0.3

#: Seconds after its end for which a request stays in the stand-ins: edits may still come.
REMEMBERED = 20.0

#: Seconds in which everything has ended once nobody asks any more.
SETTLE = 60.0

#: What "flat" means: growth over all the time after warming up, of each bot.
FLAT_MEMORY = 0.05
FLAT_FILES = 5

PENDING = re.compile(r"^cancel_restore_pending_requests (\S+)$", re.MULTILINE)

GROWTH = (
    "MB at first",
    "MB at last",
    "MB at most",
    "MB an hour (slope)",
    "files at first",
    "files at last",
    "files at most",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one bot used at a moment."""

    at: float
    memory: float  # resident, MB
    files: int


@dataclass(slots=True)
class Tally:
    """What came of the load."""

    lasted: float = 0.0
    asked: int = 0
    turned_away: int = 0
    cancelled: int = 0
    retried: int = 0
    otherwise: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)

    @property
    def so_far(self) -> dict[str, int]:
        return {"asked": self.asked, "cancelled": self.cancelled, "retried": self.retried}


async def run(options: Options) -> list[Table]:
    """Keep the load up for so many minutes, and return what the bots used."""
    with ExitStack() as stack:
        postgres = await asyncio.to_thread(stack.enter_context, PostgresServer())
        folder = options.folder / "soak"
        await asyncio.to_thread(folder.mkdir)
        async with opened(PLAN, folder, postgres, options.seed) as house:
            await house.open()
            tally = Tally()
            watching = [
                asyncio.create_task(sample(house.replicas, tally)),
                asyncio.create_task(lag(tally.lags)),
            ]
            await load(house, options, tally)
            left = await settle(house)
            for task in watching:
                task.cancel()
            _, breaks = await house.record()
            acks = house.courier.counts.seconds
    lives = [life for replica in house.replicas for life in replica.lives]
    ends = [f"{life.log}: {life.odd}" for life in lives if life.odd]
    found = [*tally.otherwise, *left, *breaks, *ends, *traces_in(house.logs)]
    return [load_table(tally, acks, house.logs, found), growth_table(tally)]


async def load(house: House, options: Options, tally: Tally) -> None:
    """Let somebody ask every so often, whether or not the ones before have their answer."""
    people, old = house.people(), deque[tuple[float, Story]]()
    free = deque(range(CROWD))
    began = time.monotonic()
    async with asyncio.TaskGroup() as crowd:
        for number in range(1, round(options.seconds * options.rate) + 1):
            await asyncio.sleep(began + number / options.rate - time.monotonic())
            if free:
                crowd.create_task(ask(house, people, free, old, tally))
            else:
                tally.turned_away += 1
            tidy(house, old)
            if number % round(60 * options.rate) == 0:
                log.info("soak", **tally.so_far, open=CROWD - len(free))
        tally.lasted = time.monotonic() - began


async def ask(
    house: House,
    people: People,
    free: deque[int],
    old: deque[tuple[float, Story]],
    tally: Tally,
) -> None:
    """One command, one submission, one cancellation."""
    who = free.popleft()
    tally.asked += 1
    story = Story(who, "asked", house.new_job("free"), f"room-{tally.asked % CHANNELS}")
    began = time.monotonic()
    await people.play(story)
    tally.seconds.append(time.monotonic() - began)
    tally.retried += story.retried
    thread = house.board.of(story.job.id)
    if thread and thread.settled and thread.state == "cancelled" and story.job.cancelled:
        tally.cancelled += 1
    else:
        tally.otherwise.append(f"job {story.job.id}: {thread.state if thread else 'no card'}")
    old.append((time.monotonic(), story))
    free.append(who)


def tidy(house: House, old: deque[tuple[float, Story]]) -> None:
    """Let the stand-ins forget what ended a while ago, so that they do not grow either."""
    while old and old[0][0] < time.monotonic() - REMEMBERED:
        _, story = old.popleft()
        for thread in house.board.forget(story.job.id):
            for each in (*thread.cards.values(), *thread.replies.values()):
                if message := house.slack.world.messages.find(each["channel"], each["ts"]):
                    house.slack.world.messages.remove(message)
        house.known.discard(story.job.id)
        for project in house.atlas.world.projects.values():
            for cluster in project.clusters.values():
                cluster.jobs.pop(story.job.id, None)
    for grown in (house.slack.world.calls, house.slack.sockets.envelopes, house.atlas.calls):
        del grown[:-50]
    house.slack.world.messages._by_client_id.clear()


async def sample(replicas: Sequence[Replica], tally: Tally) -> None:
    """Note what each bot uses, again and again."""
    while True:
        for replica in replicas:
            if replica.pid:
                tally.samples.setdefault(replica.name, []).append(used_by(replica.pid))
        await asyncio.sleep(EVERY)


def used_by(pid: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return Sample(
        time.monotonic(), int(kilobytes) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))
    )


async def settle(house: House) -> list[str]:
    """Wait until every bot says that nothing is pending; say who does not."""
    until = time.monotonic() + SETTLE
    while time.monotonic() < until:
        counts = [await pending(replica) for replica in house.replicas]
        if not any(counts):
            return []
        await asyncio.sleep(1.0)
    return [f"requests are pending still: {counts}"]


async def pending(replica: Replica) -> float:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{replica.port}/metrics") as answer,
    ):
        (found,) = PENDING.findall(await answer.text())
    return float(found)


def load_table(
    tally: Tally, acks: Sequence[float], logs: Iterable[Path], found: list[str]
) -> Table:
    """The table of what was asked and how it went."""
    errors = problems_in_logs(list(logs))
    rows = [
        Row("asked for a cancellation each second", [tally.asked / tally.lasted]),
        Row("requests", [tally.asked]),
        Row("cancelled, and said so", [tally.cancelled]),
        Row("not begun, since so many were under way", [tally.turned_away]),
        Row("failures told, then tried again", [tally.retried]),
        Row("ack, median s", [percentile(acks, 0.5)]),
        Row("ack, 99 of 100 within s", [percentile(acks, 0.99)]),
        Row("from command to outcome, median s", [percentile(tally.seconds, 0.5)]),
        Row("from command to outcome, 99 of 100 within s", [percentile(tally.seconds, 0.99)]),
        Row("errors in the logs", [sum(errors.values())]),
    ]
    return Table(
        title="A steady load",
        first="Two bots, PostgreSQL, Socket Mode",
        columns=["figure"],
        rows=rows,
        goals=[Goal(text="left over or ended otherwise: none", seen=len(found), held=not found)],
        notes=[
            *found[:20],
            f"this machine kept the campaign itself waiting for {max(tally.lags):.1f} s at worst",
        ],
    )


def growth_table(tally: Tally) -> Table:
    """The table of what each bot used after warming up."""
    rows, worst_memory, worst_files = [], 0.0, 0.0
    for name, samples in tally.samples.items():
        warm = samples[round(len(samples) * WARM_UP) :]
        span = warm[-1].at - warm[0].at
        memory = slope([(each.at, each.memory) for each in warm])
        files = slope([(each.at, float(each.files)) for each in warm])
        start = sum(each.memory for each in warm[:5]) / len(warm[:5])
        worst_memory = max(worst_memory, memory * span / start)
        worst_files = max(worst_files, files * span)
        rows.append(
            Row(
                name,
                [
                    start,
                    warm[-1].memory,
                    max(each.memory for each in warm),
                    memory * 3600,
                    warm[0].files,
                    warm[-1].files,
                    max(each.files for each in warm),
                ],
            )
        )
    return Table(
        title="What the bots used",
        first="After warming up",
        columns=GROWTH,
        rows=rows,
        goals=[
            Goal.at_most("memory grows by at most a twentieth (slope)", worst_memory, FLAT_MEMORY),
            Goal.at_most(
                f"open files grow by at most {FLAT_FILES} (slope)", worst_files, FLAT_FILES
            ),
        ],
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return how much is added each second, by least squares."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
