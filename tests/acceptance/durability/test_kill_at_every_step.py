"""`kill -9` at every step of a request's life: what was acknowledged ends, once and on record."""

from collections.abc import Sequence

import pytest

from tests.acceptance.durability.concurrency import run_concurrently
from tests.acceptance.durability.conftest import NewLedger
from tests.acceptance.durability.crash_points import CRASH_POINTS, CrashPoint, killed_once
from tests.acceptance.durability.environment import opened
from tests.support.timings import SHORT_PROCESS_TIMINGS

#: Environments side by side, so that their waits for leases overlap.
SIDE_BY_SIDE = 4


@pytest.mark.timeout(300)
async def test_request_ends_within_30_seconds_of_the_restart_after_a_kill_at_each_step(
    kind: str,
    new_ledger: NewLedger,
) -> None:
    """With the real leases on SQLite, with short ones on PostgreSQL."""
    timings = None if kind == "sqlite" else SHORT_PROCESS_TIMINGS

    async def scenario(crash_points: Sequence[CrashPoint]) -> None:
        async with opened(await new_ledger(), timings=timings) as env:
            await env.start()
            for crash_point in crash_points:
                await killed_once(env, crash_point)
            assert await env.bot.stop() == 0, env.bot.log

    parts = [list(CRASH_POINTS)[first::SIDE_BY_SIDE] for first in range(SIDE_BY_SIDE)]
    await run_concurrently(
        {", ".join(names): scenario([CRASH_POINTS[name] for name in names]) for names in parts}
    )
