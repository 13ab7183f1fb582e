"""Resources of the bot: start time, memory when idle and after work, disk, idle CPU."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from venv import EnvBuilder

from bot.sandbox.atlas import PROJECT_ID, Behaviour, FakeAtlasServer
from bot.sandbox.slack import Channel, FakeSlackServer, User
from tests.acceptance.environment import environment
from tests.support.process import BotProcess
from tests.tools.reporting.report import Goal, Missing, Row, Table, in_turn, median

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.sandbox.atlas import RestoreJob
    from tests.tools.reporting.report import Scale

Json = dict[str, Any]

ROOT = Path(__file__).parents[3]

#: Goals: seconds from start to ready; MB when idle, and installed; growth after the warm-up.
READY = 1.0
IDLE = 110.0
INSTALLED = 60.0
GROWTH = 1.1

MB = 1024 * 1024

#: The fraction of requests that warms up caches and connections, as a divisor.
WARM_UP = 10

#: People who request concurrently, and channels; each channel gets less than one message a second.
PEOPLE = 8
CHANNELS = 500
CLUSTER = "prod-eu"

#: Seconds for one dialog or cancellation, and of idling before memory is read.
STEP_TIMEOUT = 30.0
IDLE_PAUSE = 3.0

#: Seconds between two reads of `/readyz` during a start.
POLL_INTERVAL = 0.005

NOTES = (
    (
        "The bot as `python -m bot serve`, Socket Mode, SQLite, with fake servers. Memory is"
        " VmRSS of /proc; CPU is user and system time."
    ),
    "The first start creates the database.",
    (
        "A request is complete: command, dialog, submission, GET, DELETE, GET, card, outcome. The"
        f" first tenth is the warm-up; {PEOPLE} people work concurrently, each on one request."
    ),
    (
        "Installed: site-packages of a fresh environment with the wheel and its dependencies,"
        " without pip, setuptools and compiled files."
    ),
)


@dataclass(slots=True, kw_only=True)
class FootprintEnvironment:
    """The bot with both fake servers, and people who request cancellations."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    bot: BotProcess
    numbers: count[int] = field(default_factory=count)

    @property
    def memory(self) -> float:
        """Resident memory of the bot in MB."""
        status = Path(f"/proc/{self.bot.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    @property
    def cpu(self) -> float:
        """CPU seconds that the bot has used so far."""
        fields = Path(f"/proc/{self.bot.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def idle(self, seconds: float) -> float:
        """Return the CPU use of the idle bot, in percent of a core."""
        before, begun = self.cpu, time.monotonic()
        await asyncio.sleep(seconds)
        return 100 * (self.cpu - before) / (time.monotonic() - begun)

    async def run_requests(self, requests: int) -> float:
        """Run this many cancellations, and return the memory in MB afterwards."""
        numbers = iter(range(requests))
        people = [self.person(number) for number in range(PEOPLE)]
        await asyncio.gather(*(self._cancel_jobs(person, numbers) for person in people))
        await asyncio.sleep(IDLE_PAUSE)
        return self.memory

    def person(self, number: int) -> str:
        """Add a person to the workspace and every channel, and return their name."""
        team = self.slack.workspace.team.id
        person = User(id=f"U0BENCH{number:03d}", name=f"bench-{number}", team_id=team)
        self.slack.workspace.add(person)
        for channel in range(CHANNELS):
            self.slack.workspace.channel(channel_id(channel)).members.add(person.id)
        return person.name

    async def _cancel_jobs(self, person: str, numbers: Any) -> None:
        for _number in numbers:
            job, channel = self.job(), channel_id(next(self.numbers) % CHANNELS)
            view = await self.open_dialog(person, channel, job)
            ack = await self.slack.people.submits(person, view, {"reason": "started by mistake"})
            assert ack.ok, ack
            await self.slack.until(partial(getattr, job, "cancelled"), STEP_TIMEOUT)

    async def open_dialog(
        self,
        person: str,
        channel: str,
        job: RestoreJob,
        acked: Callable[[float], None] = lambda _seconds: None,
    ) -> Json:
        """Send the command, and return the dialog once it shows the job."""
        before = self.slack.state.view_of(person)
        began = time.monotonic()
        await self.slack.people.types(person, channel, f"/cancel-restore {CLUSTER} {job.id}")
        acked(time.monotonic() - began)

        def shown() -> Json | None:
            view = self.slack.state.view_of(person)
            is_new = view and (before is None or view["id"] != before["id"])
            return view if view and is_new and view.get("submit") else None

        view = await self.slack.until(shown, STEP_TIMEOUT)
        assert view
        return view

    def job(self) -> RestoreJob:
        """Start one more restore job."""
        cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        return self.atlas.world.add_job(cluster)


def channel_id(number: int) -> str:
    return f"C0BENCH{number:04d}"


async def measure(scale: Scale) -> list[Table]:
    rows, goals = [], []
    starts = {"first": _first_start, "next": _next_start}
    took = {name: median(each) for name, each in (await in_turn(starts, scale.pick(3, 15))).items()}
    rows.append(Row("first start to ready, s", [took["first"]]))
    rows.append(Row("later start to ready, s", [took["next"]]))
    goals.append(Goal.at_most(f"ready within {READY:g} s", max(took["first"], took["next"]), READY))
    requests = scale.pick(200, 10_000)
    async with open_footprint_environment() as env:
        await asyncio.sleep(IDLE_PAUSE)
        idle = env.memory
        percent = await env.idle(scale.pick(5.0, 30.0))
        warm = await env.run_requests(requests // WARM_UP)
        after = await env.run_requests(requests - requests // WARM_UP)
    rows += [
        Row("memory, idle, MB", [idle]),
        Row("CPU, idle, % of a core", [percent]),
        Row(f"memory after {requests // WARM_UP:,} requests, MB", [warm]),
        Row(f"memory after {requests:,} requests, MB", [after]),
    ]
    goals.append(Goal.at_most(f"≤ {IDLE:g} MB idle", idle, IDLE))
    grown = f"memory after {requests:,} requests ≤ {GROWTH} × after the warm-up"
    goals.append(Goal.at_most(grown, after / warm, GROWTH))
    try:
        size = await asyncio.to_thread(_installed)
        rows.append(Row("installed, MB", [size]))
    except Missing as error:
        size = None
        rows.append(Row("installed, MB", missing=str(error)))
    goals.append(Goal.at_most(f"≤ {INSTALLED:g} MB installed", size, INSTALLED))
    return [Table(title="Footprint", columns=["figure"], rows=rows, goals=goals, notes=NOTES)]


@asynccontextmanager
async def open_footprint_environment() -> AsyncIterator[FootprintEnvironment]:
    behaviour = Behaviour(rate_capacity=100_000_000)
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        async with FakeAtlasServer(behaviour=behaviour) as atlas, FakeSlackServer() as slack:
            for number in range(CHANNELS):
                channel = Channel(id=channel_id(number), name=f"bench-{number}")
                channel.members.add(slack.workspace.app.bot_user)
                slack.workspace.add(channel)
            with BotProcess(environment(slack, atlas, Path(folder))) as bot:
                await bot.ready()
                yield FootprintEnvironment(slack=slack, atlas=atlas, bot=bot)


async def _first_start() -> float:
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        return await _ready(Path(folder))


async def _next_start() -> float:
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        await _ready(Path(folder))
        return await _ready(Path(folder))


async def _ready(folder: Path) -> float:
    """Return the seconds from the start of the process until `/readyz` is 200."""
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        with BotProcess(environment(slack, atlas, folder)) as bot:
            while time.monotonic() < bot.started_at + STEP_TIMEOUT:
                if await bot.status("/readyz") == 200:
                    return time.monotonic() - bot.started_at
                await asyncio.sleep(POLL_INTERVAL)
            raise TimeoutError(bot.log)


def _installed() -> float:
    """Install the wheel without extras into a fresh environment, and return its size in MB."""
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as path:
        folder = Path(path)
        sources = folder / "sources"
        shutil.copytree(ROOT / "bot", sources / "bot")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, sources)
        EnvBuilder(symlinks=True).create(folder / "venv")
        where = ("--python", str(folder / "venv" / "bin" / "python"))
        install = ("install", "--quiet", "--no-compile", str(sources))
        installed = subprocess.run(
            [sys.executable, "-m", "pip", *where, *install],
            capture_output=True,
            text=True,
            check=False,
        )
        if installed.returncode:
            raise Missing("pip could not install the bot: no package index is reached")
        (packages,) = (folder / "venv").glob("lib/python*/site-packages")
        files = (file for file in packages.rglob("*") if file.is_file())
        return sum(file.stat().st_size for file in files) / MB
