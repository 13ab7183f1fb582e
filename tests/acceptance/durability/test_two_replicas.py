"""Two bots on one PostgreSQL, in both modes: each handles any payload, either may be killed."""

import asyncio
import time

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.durability.concurrency import run_concurrently
from tests.acceptance.durability.environment import Mode, ProcessEnvironment, opened
from tests.acceptance.environment import OUTCOME_TIMEOUT
from tests.support.polling import wait_until
from tests.support.postgres import PostgresServer
from tests.support.process import BotProcess

MODES: tuple[Mode, ...] = ("socket", "http")


@pytest.fixture(params=["socket", "http"])
def mode(request: pytest.FixtureRequest) -> Mode:
    kind: Mode = request.param
    return kind


async def two(env: ProcessEnvironment) -> tuple[BotProcess, BotProcess]:
    """Start two bots at the same moment, on an empty database."""
    first, second = env.spawn(), env.spawn()
    await asyncio.gather(first.ready(), second.ready())
    env.route(first)
    return first, second


async def test_other_replica_takes_over_within_the_limit(postgres: PostgresServer) -> None:
    async def scenario(mode: Mode) -> None:
        url = await asyncio.to_thread(postgres.new_database)
        async with opened(url, mode=mode) as env:
            first, second = await two(env)
            job = env.new_job_id()
            env.atlas.faults.add(Fault(kind=Kind.HANG_AFTER, method="DELETE", path=job))
            await env.open_dialog_of("rina", job)
            assert (await env.submit_dialog("rina", job)).ok
            await wait_until(lambda: not env.atlas.faults.active)
            runner = first if '"atlas:cancel_sent"' in first.log else second
            other = second if runner is first else first
            runner.kill()
            killed = time.monotonic()
            env.route(other)

            await env.wait_for_outcomes(killed + OUTCOME_TIMEOUT - time.monotonic())

            await env.check_outcomes()
            assert '"request:taken_over"' in other.log
            assert await other.stop() == 0, other.log

    await run_concurrently({mode: scenario(mode) for mode in MODES})


async def test_any_replica_handles_any_click_and_posts_once(mode: Mode, on_postgres: str) -> None:
    async with opened(on_postgres, mode=mode, approvals=2) as env:
        first, second = await two(env)
        for number in range(4):
            env.route((first, second)[number % 2])
            job = await env.request_new_job(env.person(number))
            env.route((second, first)[number % 2])
            card = await env.wait_for_card(job)
            # Two people at once; in Socket Mode Slack itself takes the connections in turn.
            acks = await asyncio.gather(
                *(
                    env.slack.people.clicks(user, card, "cancel_restore_approve")
                    for user in ("ada", "abe")
                )
            )
            assert all(ack.ok for ack in acks)

        await env.wait_for_outcomes()

        await env.check_outcomes()
        assert len(env.atlas.deletes()) == 4
        assert '"event": "request:' in first.log
        assert '"event": "request:' in second.log
