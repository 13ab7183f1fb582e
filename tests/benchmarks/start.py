"""From the start of `serve` until its first look at all clusters is stored.

500 clusters in 40 projects with 300 old restore jobs each; Atlas takes 0.2 s for each call. The
cluster that is read last in each project has a download: the look is over when the log says that
these are stored. Calls are counted in any second until then, and in any minute of one project.
"""

import asyncio
import math
import re
import time
from collections import defaultdict
from datetime import datetime, timedelta

from bot.sandbox.atlas import FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.call_recorder import Call
from bot.sandbox.atlas.clock import wall_clock
from bot.sandbox.atlas.jobs import DeliveryType
from bot.sandbox.atlas.world import World
from tests.benchmarks.environment import (
    Options,
    cpu_seconds,
    many_projects,
    new_slack,
    open_bot,
    projects_file,
)
from tests.benchmarks.results import Figure
from tests.support.clock import most_in
from tests.support.postgres import open_postgres
from tests.support.process import BotProcess

SEEN = re.compile(r'(?=.*"event": "download_seen").*"job": "(\w+)"')
LATENCY = 0.2
TIMEOUT = 150.0  #: seconds after which the look counts as not complete
AFTERWARDS = 20  #: seconds in which the steady pace is measured
#: The goals: in seconds, in calls of a second, and a quarter of Atlas's limit of a minute.
WITHIN, CALLS, STEADY_CALLS, BACKUP_CALLS = 30, 25, 10, 125


class TimelessWorld(World):
    """A world whose links live for ever: it does not look at all jobs in each call."""

    def pass_time(self, now: datetime) -> None:
        pass


async def measure(options: Options) -> list[Figure]:
    figures = await _measure("SQLite", options)
    async with open_postgres() as server:
        return figures + await _measure("PostgreSQL", options, DATABASE_URL=server.new_database())


async def _measure(kind: str, options: Options, **environ: str) -> list[Figure]:
    projects = options.pick(2, 40)
    world, clusters = many_projects(projects, options.pick(6, 500), TimelessWorld())
    _add_old_jobs(world, options.pick(3, 300))
    slack = new_slack()
    slack.workspace.app.scopes.add("chat:write.public")
    channel = slack.workspace.channel("ops").id
    with projects_file(world) as keys:
        async with FakeAtlasServer(world) as atlas, slack:
            atlas.faults.add(Fault(kind=Kind.DELAY, seconds=LATENCY, times=None))
            async with open_bot(None, slack, atlas, **keys, **environ, BOT_CHANNEL=channel) as env:
                wanted = {env.start_download(cluster).id for cluster in clusters[-projects:]}
                world.events.clear()  # the rounds alone are to find them
                is_complete = await _stores(env.bot, wanted)
                took, cpu = time.monotonic() - env.bot.started_at, cpu_seconds(env.bot.pid)
                ended, looked = wall_clock().timestamp(), len(atlas.calls)
                await asyncio.sleep(options.pick(1, AFTERWARDS))
                failed = env.bot.log.count("watch read failed")
    first = [call for call in atlas.calls[:looked] if not call.challenge]
    paths = [call.path for call in first]
    last = max(paths.index(path) for path in paths if "/backup/" in path)
    feeds = sum("/events" in path for path in paths[:last])
    later = [at for at in map(_sent_at, atlas.calls[looked:]) if at > ended]
    return [
        Figure(f"{kind}, first look", took if is_complete else math.inf, "s", WITHIN),
        Figure(f"{kind}, clusters that failed", failed, "clusters", 0),
        Figure(f"{kind}, calls", most_in(1.0, [*map(_sent_at, first)]), "in any second", CALLS),
        Figure(f"{kind}, calls afterwards", most_in(1.0, later), "in any second", STEADY_CALLS),
        Figure(f"{kind}, reads of feeds before its last call", feeds, "calls", 0),
        Figure(f"{kind}, calls of a project", _worst_minute(first), "in any minute", BACKUP_CALLS),
        Figure(f"{kind}, CPU", 100 * cpu / took, "% of a core"),
    ]


def _add_old_jobs(world: World, count: int) -> None:
    """Let each cluster have restores of its last months, of which one in two is a download."""
    now, kinds = wall_clock(), (DeliveryType.DOWNLOAD, DeliveryType.AUTOMATED)
    for project in world.projects.values():
        for cluster in project.clusters.values():
            for number in range(count):
                at = now - timedelta(days=number / 2, hours=6)
                world.add_job(cluster, kinds[number % 2], now=at, by=None).finish(at)


async def _stores(bot: BotProcess, jobs: set[str]) -> bool:
    """Wait until the downloads are stored; return whether they are in time."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if jobs <= set(SEEN.findall(bot.log)):
            return True
        await asyncio.sleep(0.2)
    return False


def _sent_at(call: Call) -> float:
    return call.at.timestamp()


def _worst_minute(calls: list[Call]) -> int:
    """Return the most reads of restore jobs of one project within a minute."""
    moments = defaultdict(list)
    for call in calls:
        if "/backup/" in call.path:
            moments[call.path.split("/groups/")[1][:24]].append(_sent_at(call))
    return max(most_in(60.0, sent) for sent in moments.values())
