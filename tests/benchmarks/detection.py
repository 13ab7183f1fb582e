"""From the start of a download in Atlas until its announcement is in Slack.

500 clusters in 40 projects; Atlas takes 0.2 s for each call, shows an event 1 s after the start,
and enforces its rate limits. Downloads begin at random moments in random clusters. Calls and CPU
are those after the first complete round.
"""

import asyncio
import math
import random
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.world import Cluster
from bot.sandbox.slack import FakeSlackServer
from tests.benchmarks.environment import (
    BotEnvironment,
    Options,
    cpu_seconds,
    many_projects,
    open_bot,
    projects_file,
)
from tests.benchmarks.results import Figure, median

LATENCY = 0.2
EVENT_DELAY = 1.0
FIRST_ROUND = 75  #: seconds
#: Seconds after the last download in which all must be announced.
TIMEOUT = 100.0
#: Atlas's documented limits a minute and project; the watch may use a quarter.
BACKUP_CALLS, EVENT_CALLS = 500, 100


async def measure(options: Options) -> list[Figure]:
    return [
        replace(
            figure,
            name=figure.name if tree is None else f"{name}, {figure.name}",
            goal=figure.goal if tree is None else None,
        )
        for name, tree in options.editions().items()
        for figure in await _measure(tree, options)
    ]


async def _measure(tree: Path | None, options: Options) -> list[Figure]:
    world, clusters = many_projects(options.pick(2, 40), options.pick(6, 500))
    slack = FakeSlackServer()
    slack.workspace.app.scopes.add("chat:write.public")
    name = "BOT_CHANNEL" if tree is None else "BOT_WATCH_CHANNEL"  # as bots of before 1.0 call it
    channel = {name: slack.workspace.channel("ops").id}
    with projects_file(world) as environ:
        async with FakeAtlasServer(world) as atlas, slack:
            atlas.behaviour.event_delay = EVENT_DELAY
            atlas.faults.add(Fault(kind=Kind.DELAY, seconds=LATENCY, times=None))
            async with open_bot(tree, slack, atlas, **environ, **channel) as env:
                await asyncio.sleep(options.pick(3, FIRST_ROUND))
                first, cpu, began = len(atlas.calls), cpu_seconds(env.bot.pid), time.monotonic()
                seconds = await _start_downloads(env, clusters, options)
                took = time.monotonic() - began
                cpu = cpu_seconds(env.bot.pid) - cpu
                calls = atlas.calls[first:]
    backups = _worst_minute(calls, "/backup/")
    return [
        Figure("median", median(seconds), "s", 20),
        Figure("worst", max(seconds), "s", 30),
        Figure("calls to Atlas", len(calls) / took, "a second", 10),
        Figure("backup calls of a project", backups, "in its worst minute", BACKUP_CALLS / 4),
        Figure(
            "event calls of a project",
            _worst_minute(calls, "/events"),
            "in its worst minute",
            EVENT_CALLS / 4,
        ),
        Figure("CPU", 100 * cpu / took, "% of a core", 20),
    ]


async def _start_downloads(
    env: BotEnvironment, clusters: list[Cluster], options: Options
) -> list[float]:
    """Start downloads at random moments, and return the seconds until each is announced."""
    chance = random.Random(18)  # noqa: S311 - the same moments in each run
    started = {}
    for _ in range(options.pick(1, 12, 60)):
        await asyncio.sleep(chance.uniform(0, options.pick(1, 30)))
        job = env.start_download(chance.choice(clusters))
        started[job.id] = time.perf_counter()
    with suppress(TimeoutError):
        await env.slack.until(lambda: started.keys() <= env.announced.keys(), TIMEOUT)
    return [env.announced.get(job_id, math.inf) - at for job_id, at in started.items()]


def _worst_minute(calls: list[Any], part: str) -> int:
    """Return the most calls of one project within a minute."""
    by_project: dict[str, list[float]] = {}
    for call in calls:
        if part in call.path and not call.challenge:
            project = call.path.split("/groups/")[1][:24]
            by_project.setdefault(project, []).append(call.at.timestamp())
    return max(
        (
            sum(at <= other < at + 60 for other in moments)
            for moments in by_project.values()
            for at in moments
        ),
        default=0,
    )
