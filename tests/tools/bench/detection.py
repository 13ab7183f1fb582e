"""Time from the start of a download to its announcement, with 5 to 500 clusters."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.sandbox.atlas import PRIVATE_KEY, PUBLIC_KEY, FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.atlas.world import World
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import payload_of
from tests.support.environ import bot_environ
from tests.support.process import BotProcess
from tests.tools.reporting.report import Goal, Row, Table, median

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bot.sandbox.atlas.world import Cluster
    from tests.tools.reporting.report import Scale

#: Seconds of each call of Atlas, and until Atlas shows an event.
LATENCY = 0.2
EVENT_DELAY = 1.0

#: Projects and clusters of each size; the last one is that of the goals.
SIZES = ((1, 5), (4, 50), (40, 500))
QUICK_SIZES = ((2, 5),)

#: Seconds until the first complete read has ended; the time after it is measured.
FIRST_READ_TIMEOUT = 75.0

#: Seconds after the last download in which all must be announced, before a run counts as failed.
TIMEOUT = 100.0

#: The documented limits, in calls a minute and project.
BACKUPS_A_MINUTE, EVENTS_A_MINUTE = 500, 100

PROJECTS_FILE = """
[[organizations]]
public_key_env = "ORG_PUBLIC_KEY"
private_key_env = "ORG_PRIVATE_KEY"
watch_channel = "{channel}"
"""

NOTES = (
    (
        f"Atlas takes {LATENCY:g} s for each call and shows an event {EVENT_DELAY:g} s after the"
        " start; its rate limits are enforced. Downloads begin at random moments in random"
        " clusters."
    ),
    "No event: the activity feed never shows a download, so that only polling finds it.",
    (
        "Calls are those of the measured time, without the first complete read. Worst minute: of"
        f" one project; Atlas documents {BACKUPS_A_MINUTE} backup calls and {EVENTS_A_MINUTE} reads"
        " of events a minute."
    ),
)


@dataclass(slots=True)
class Run:
    """One measured run; `started` and `seen` are monotonic seconds by job."""

    started: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    calls: float = 0.0  #: a second
    backups: int = 0  #: of one project in its worst minute
    events: int = 0
    cpu: float | None = None  #: in percent of a core

    @property
    def seconds(self) -> list[float]:
        return [self.seen[job] - at for job, at in self.started.items() if job in self.seen]

    def cells(self) -> list[float | int | str | None]:
        complete = len(self.seconds) == len(self.started)
        worst = max(self.seconds, default=0.0) if complete else "not all found"
        figures = (self.calls, self.backups, self.events, self.cpu)
        return [len(self.started), median(self.seconds or [0.0]), worst, *figures]


async def measure(scale: Scale) -> list[Table]:
    rows, last = [], Run()
    for projects, clusters in scale.pick(QUICK_SIZES, SIZES):
        last = await measure_watch(projects, clusters, scale)
        rows.append(Row(f"{clusters} clusters in {projects} projects", last.cells()))
    size = scale.pick(QUICK_SIZES, SIZES)[-1]
    hidden = await measure_watch(*size, scale, with_events=False)
    rows.append(Row(f"{size[1]} clusters, no event", hidden.cells()))
    worst = max(last.seconds) if len(last.seconds) == len(last.started) else None
    return [
        Table(
            title="From the start of a download to its announcement, in seconds",
            columns=[
                *("downloads", "median", "worst", "calls a second"),
                *("backup calls, worst minute", "events, worst minute", "% of a core"),
            ],
            rows=rows,
            goals=[
                Goal.at_most("median at most 20 s", median(last.seconds or [999.0]), 20.0),
                Goal.at_most("worst at most 30 s", worst, 30.0),
                Goal.at_most("at most 10 calls a second", last.calls, 10.05),
                Goal.at_most("a quarter of the backup limit", last.backups, BACKUPS_A_MINUTE / 4),
                Goal.at_most("a quarter of the event limit", last.events, EVENTS_A_MINUTE / 4),
                Goal.at_most("less than a fifth of a core", last.cpu, 20.0),
            ],
            notes=NOTES,
        )
    ]


def new_world(projects: int, clusters: int) -> tuple[World, list[Cluster]]:
    world = World()
    homes = [world.add_project(f"project-{number:02d}") for number in range(projects)]
    made = [
        world.add_cluster(homes[number % projects], f"cluster-{number:03d}")
        for number in range(clusters)
    ]
    roles = [Role.READ_ONLY, Role.BACKUP_MANAGER]
    world.add_key(PUBLIC_KEY, PRIVATE_KEY, {home.id: roles for home in homes})
    return world, made


@asynccontextmanager
async def slow_atlas(world: World) -> AsyncIterator[FakeAtlasServer]:
    async with FakeAtlasServer(world) as atlas:
        atlas.behaviour.event_delay = EVENT_DELAY
        atlas.faults.add(Fault(kind=Kind.DELAY, seconds=LATENCY, times=None))
        yield atlas


async def measure_watch(
    projects: int, clusters: int, scale: Scale, *, with_events: bool = True
) -> Run:
    """Measure the bot, whose watch announces the downloads."""
    world, made = new_world(projects, clusters)
    run = Run()
    async with slow_atlas(world) as atlas, FakeSlackServer() as slack:
        slack.workspace.app.scopes.add("chat:write.public")
        with (
            tempfile.TemporaryDirectory() as folder,
            BotProcess(environ(Path(folder), slack, atlas)) as bot,
        ):
            await bot.ready()
            await asyncio.sleep(scale.pick(10.0, FIRST_READ_TIMEOUT))
            first, cpu, begun = len(atlas.calls), cpu_of(bot.pid), time.monotonic()
            slack.world.events.subscribe(lambda _event: note_announcements(slack, run))
            await start_downloads(world, made, run, scale, with_events=with_events)
            took = time.monotonic() - begun
            run.cpu = 100 * (cpu_of(bot.pid) - cpu) / took
            run.calls = (len(atlas.calls) - first) / took
            run.backups = worst_minute(atlas, first, "/backup/")
            run.events = worst_minute(atlas, first, "/events?")
    return run


def environ(folder: Path, slack: FakeSlackServer, atlas: FakeAtlasServer) -> dict[str, str]:
    file = folder / "projects.toml"
    file.write_text(PROJECTS_FILE.format(channel=slack.workspace.channel("ops").id), "utf-8")
    return bot_environ(slack, atlas, f"sqlite:///{folder}/bot.db") | {
        "BOT_PROJECTS_FILE": str(file),
        "ORG_PUBLIC_KEY": PUBLIC_KEY,
        "ORG_PRIVATE_KEY": PRIVATE_KEY,
    }


async def start_downloads(
    world: World, clusters: Sequence[Cluster], run: Run, scale: Scale, *, with_events: bool = True
) -> None:
    """Start downloads at random moments, and wait until all are seen."""
    chance = random.Random(18)  # noqa: S311 - the same moments in each run
    for _ in range(scale.pick(2, 40)):
        await asyncio.sleep(chance.uniform(0, scale.pick(2.0, 10.0)))
        by: dict[str, Any] = {} if with_events else {"by": None}
        job = world.add_job(chance.choice(clusters), **by)
        run.started[job.id] = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT):
            while len(run.seen) < len(run.started):  # noqa: ASYNC110 - a callback sets it
                await asyncio.sleep(0.2)


def note_announcements(slack: FakeSlackServer, run: Run) -> None:
    for message in slack.state.messages("ops"):
        if (job := payload_of(message).get("job")) in run.started:
            run.seen.setdefault(job, time.monotonic())


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def worst_minute(atlas: FakeAtlasServer, first: int, part: str) -> int:
    """Return the most calls of one project within a minute."""
    times: dict[str, list[float]] = {}
    for call in islice(atlas.calls, first, None):
        if part in call.path and not call.challenge:
            times.setdefault(call.path.split("/groups/")[1][:24], []).append(call.at.timestamp())
    worst = Counter[str]()
    for project, moments in times.items():
        for number, moment in enumerate(moments):
            within = sum(each < moment + 60 for each in moments[number:])
            worst[project] = max(worst[project], within)
    return max(worst.values(), default=0)
