"""Two bots on one PostgreSQL, in both modes: each handles any payload, either may be killed."""

import asyncio
import time
from dataclasses import replace

import pytest

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from bot.storage.outbox_store import LEASE
from tests.acceptance.durability.concurrency import run_concurrently
from tests.acceptance.durability.environment import Mode, ProcessEnvironment, opened
from tests.acceptance.environment import OUTCOME_TIMEOUT
from tests.support.polling import wait_until
from tests.support.postgres import PostgresServer
from tests.support.process import BotProcess
from tests.support.timings import SHORT_PROCESS_TIMINGS

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


async def test_connections_of_other_replicas_are_no_excess(on_postgres: str) -> None:
    timings = replace(SHORT_PROCESS_TIMINGS, connection_stagger=0.5)
    async with opened(on_postgres, timings=timings) as env:
        first, _ = await two(env)
        await env.slack.until(lambda: env.slack.sockets.registered == 4)
        first.kill()
        await env.slack.until(lambda: env.slack.sockets.registered == 2)
        await env.start()

        await env.slack.until(lambda: env.slack.sockets.registered == 4)


async def test_double_submission_to_two_replicas_is_one_request(on_postgres: str) -> None:
    async with opened(on_postgres, mode="http") as env:
        first, second = await two(env)
        job = env.new_job_id()
        await env.open_dialog_of("rina", job)
        sent = asyncio.create_task(env.submit_dialog("rina", job))
        await asyncio.sleep(0)  # it is on its way to the first replica
        env.route(second)
        again = await env.slack.people.redelivers()
        assert (await sent).ok
        assert again.ok

        await env.wait_for_outcomes()

        await env.check_outcomes()
        assert len(env.atlas.deletes(job)) == 1
        assert (first.log + second.log).count('"event": "request:created"') == 1


async def test_post_that_slack_answers_late_is_not_repeated_by_the_other_replica(
    on_postgres: str,
) -> None:
    delay = LEASE.total_seconds() + 2
    async with opened(on_postgres) as env:
        await two(env)
        env.slack.faults.add("chat.postMessage", SlackFault(kind="delay", seconds=delay))
        await env.request_new_job("rina")
        submitted = time.monotonic()

        await env.wait_for_outcomes()
        await asyncio.sleep(submitted + delay + 1 - time.monotonic())  # a repeated one came first

        await env.check_outcomes()
        assert [call.method for call in env.slack.calls].count("chat.postMessage") == 2
