"""`kill -9` at every step of a request: acknowledged requests end once, and on record."""

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


@pytest.mark.timeout(300)
async def test_request_ends_within_30_seconds_of_the_restart_after_a_kill_at_each_step(
    kind: str, new_database: NewDatabase
) -> None:
    """Every other step with the real leases on SQLite, the rest with short ones on PostgreSQL."""
    is_sqlite = kind == "sqlite"
    timings = Timings() if is_sqlite else SHORT_PROCESS_TIMINGS
    crash_points = [*CRASH_POINTS.items()][0 if is_sqlite else 1 :: 2]

    active = asyncio.Semaphore(MAX_ACTIVE)

    async def scenario(crash_point: CrashPoint) -> None:
        async with opened(await new_database(), timings=timings) as env:
            async with active:
                await env.start()
                acknowledged = await kill_at(env, crash_point)
            await restart_and_wait_for_outcome(env, acknowledged=acknowledged)
            assert await env.bot.stop() == 0, env.bot.log

    await run_concurrently({name: scenario(point) for name, point in crash_points})
