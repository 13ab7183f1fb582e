"""Time from the start of `serve` until `/readyz` is 200, and resident memory.

The peer of the start is `python -c "import slack_bolt, httpx, sqlalchemy"`. A request is complete:
command, dialog, submission, GET, DELETE, GET, message and reply, without Slack's limit of edits.
Eight people work side by side. `--long` makes 10,000 requests.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from bot.sandbox.atlas import RestoreJob
from bot.sandbox.atlas.world import Cluster
from bot.sandbox.slack import User
from tests.benchmarks.environment import (
    CHANNELS,
    BotEnvironment,
    Options,
    channel_id,
    cpu_seconds,
    many_projects,
    new_atlas,
    new_slack,
    open_bot,
    projects_file,
    resident_mb,
    settings,
)
from tests.benchmarks.results import Figure, median, ratio
from tests.support.process import BotProcess, surroundings

READY, IDLE, WORKED, GROWTH = 1.0, 95.0, 105.0, 1.1  #: the goals, in s, MB, MB and a ratio
PEER = "import slack_bolt, httpx, sqlalchemy"
PEOPLE = 8
PROJECTS = 50  #: in turn, because the bot keeps below the limits that Atlas has for each
#: The bot without Slack's limit of 50 edits a minute, which would make 10,000 requests take hours.
UNPACED = """
import sys
from bot.__main__ import main
from bot.slack import pace
pace._LIMITS = {method: (10**9, 1.0) for method in pace._LIMITS}
sys.argv[1:] = ["serve"]
main()
"""
SETTLE = 2.0  #: seconds without work before memory is read


async def measure(options: Options) -> list[Figure]:
    figures = []
    for name, tree in options.editions().items():
        of_bot = name == "bot"
        starts = [await _start(tree) for _ in range(options.pick(1, 5))]
        first, later, cpu, peer = map(list, zip(*starts, strict=True))
        figures += [
            Figure(f"{name}, first start", median(first), "s", READY if of_bot else None),
            Figure(f"{name}, later start", median(later), "s", READY if of_bot else None),
            Figure(f"{name}, CPU until it is ready", median(cpu), "s"),
            Figure(f"{name}, later start × import of its libraries", ratio(later, peer)),
            *await _idle(name, tree, options),
        ]
    return figures + await _growth(options)


async def _idle(name: str, tree: Path | None, options: Options) -> list[Figure]:
    async with open_bot(tree) as env:
        await asyncio.sleep(SETTLE)
        memory, cpu = resident_mb(env.bot.pid), cpu_seconds(env.bot.pid)
        seconds = options.pick(1, 20)
        await asyncio.sleep(seconds)
        share = 100 * (cpu_seconds(env.bot.pid) - cpu) / seconds
    goal = IDLE if name == "bot" else None
    return [
        Figure(f"{name}, idle memory", memory, "MB", goal),
        Figure(f"{name}, idle CPU", share, "% of a core"),
    ]


async def _growth(options: Options) -> list[Figure]:
    """Compare the memory after the first tenth of many requests, and after all."""
    few, many = options.pick(4, 200, 1000), options.pick(12, 2000, 10_000)
    world, clusters = many_projects(PROJECTS, PROJECTS)
    with projects_file(world) as environ:
        async with (
            new_atlas(world) as atlas,
            open_bot(None, None, atlas, ("-c", UNPACED), **environ) as env,
        ):
            people = [_add_person(env, number) for number in range(PEOPLE)]
            turns = cycle(clusters)
            warm = await _work(env, people, islice(turns, few))
            after = await _work(env, people, islice(turns, many - few))
    return [
        Figure(f"bot, memory after {few:,} requests", warm, "MB"),
        Figure(f"bot, memory after {many:,} requests", after, "MB", WORKED),
        Figure(f"bot, memory × from {few:,} to {many:,}", after / warm, goal=GROWTH),
    ]


async def _start(tree: Path | None) -> tuple[float, float, float, float]:
    """Return the seconds of a first start, of a later one, its CPU, and of the peer's imports."""
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        async with new_atlas() as atlas, new_slack() as slack:
            environ = settings(slack, atlas, folder, tree)
            times = []
            for _ in range(2):
                with BotProcess(environ) as bot:
                    await bot.ready()
                    times.append(time.monotonic() - bot.started_at)
                    cpu = cpu_seconds(bot.pid)
                    await bot.stop()
    began = time.monotonic()
    command = (sys.executable, "-c", PEER)
    await asyncio.to_thread(subprocess.run, command, check=True, env=surroundings())
    return times[0], times[1], cpu, time.monotonic() - began


def _add_person(env: BotEnvironment, number: int) -> str:
    """Add a person to the workspace and every channel, and return their name."""
    space = env.slack.workspace
    person = User(id=f"U0BENCH{number:03d}", name=f"bench-{number}", team_id=space.team.id)
    space.add(person)
    for channel in range(CHANNELS):
        space.channel(channel_id(channel)).members.add(person.id)
    return person.name


async def _work(env: BotEnvironment, people: list[str], clusters: Iterator[Cluster]) -> float:
    """Let people request downloads to be cancelled, and return the memory in MB afterwards."""
    await asyncio.gather(*(_cancel_jobs(env, person, clusters) for person in people))
    await asyncio.sleep(SETTLE)
    return resident_mb(env.bot.pid)


async def _cancel_jobs(env: BotEnvironment, person: str, clusters: Iterator[Cluster]) -> None:
    for cluster in clusters:
        job = env.start_download(cluster)
        place = f"{env.atlas.world.projects[cluster.group].name} {cluster.name}"
        await _cancel(env, job, person, place)
        assert job.cancelled
        # The fake Atlas compares all its jobs in each call.
        del cluster.jobs[job.id]


async def _cancel(env: BotEnvironment, job: RestoreJob, person: str, place: str) -> None:
    """Cancel a job; a machine that is too busy may not save the first click."""
    for is_last in (False, True):
        await env.submit(await env.open_dialog(job, person, place), person)
        try:
            await env.until_ended(job.id)
        except TimeoutError:
            if is_last:
                raise
        else:
            return
