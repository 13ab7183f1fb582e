"""`kill -9` at every step of a request: acknowledged requests end once, and are recorded."""

import asyncio

import pytest

from bot.timings import Timings
from tests.acceptance.durability.concurrency import run_concurrently
from tests.acceptance.durability.conftest import NewDatabase
from tests.acceptance.durability.crash_points import (
    CRASH_POINTS,
    CrashPoint,
    kill_at,
    restart_and_wait_for_outcome,
)
from tests.acceptance.durability.environment import opened
from tests.support.timings import SHORT_PROCESS_TIMINGS

#: How many bots are used at the same time: they must acknowledge within Slack's 3 seconds.
MAX_ACTIVE = 2

#: Words in the names of steps of posts, at which the bot is killed on each database. Every other
#: step of a run is one of SQLite, and the rest are those of PostgreSQL.
POSTS = ("card", "outcome")


@pytest.mark.timeout(300)
async def test_request_ends_within_30_seconds_of_the_restart_after_a_kill_at_each_step(
    kind: str, new_database: NewDatabase
) -> None:
    """With the real leases on SQLite, with short ones on PostgreSQL; posts on both of them."""
    is_postgres = kind == "postgresql"
    timings = SHORT_PROCESS_TIMINGS if is_postgres else Timings()
    crash_points = {
        name: point
        for number, (name, point) in enumerate(CRASH_POINTS.items())
        if number % 2 == is_postgres or any(post in name for post in POSTS)
    }

    active = asyncio.Semaphore(MAX_ACTIVE)

    async def scenario(crash_point: CrashPoint) -> None:
        async with opened(await new_database(), timings=timings) as env:
            async with active:
                await env.start()
                acknowledged = await kill_at(env, crash_point)
            await restart_and_wait_for_outcome(env, acknowledged=acknowledged)
            assert await env.bot.stop() == 0, env.bot.log

    await run_concurrently({name: scenario(point) for name, point in crash_points.items()})
