"""The tasks of runs: all requests that must run, side by side, and what a stop leaves."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.cancellation.people import Person
from bot.cancellation.request import State
from bot.services import runner
from bot.services.rights import Rights
from bot.tasks import cancel_and_wait
from tests.support.core import CoreEnvironment
from tests.support.domain import POLICY, RINA, START, job_ref, restore_job, submission
from tests.support.fake_atlas import DELETE, GET
from tests.support.polling import wait_until

SECOND = job_ref(START, 2)


@asynccontextmanager
async def running(env: CoreEnvironment) -> AsyncIterator[None]:
    """Let the runner start what must run, as the active process does."""
    task = asyncio.create_task(env.runner.run_all())
    try:
        yield
    finally:
        await env.runner.stop()
        await cancel_and_wait(task)


@pytest.fixture
async def env(env: CoreEnvironment) -> CoreEnvironment:
    env.policy = replace(POLICY, approvals=0)
    env.build()
    return env


async def test_new_process_runs_what_a_dead_one_left(env: CoreEnvironment) -> None:
    await env.ask()
    cancelling = await env.ask(key="V2", ref=SECOND)
    await env.runs.begin(cancelling.id)

    async with running(env):
        await wait_until(lambda: len(env.ends) == 2)

    assert not await env.runs.running()


async def test_approved_request_of_another_process_runs_at_the_next_look(
    env: CoreEnvironment,
) -> None:
    await env.ask()
    async with running(env):
        await wait_until(lambda: len(env.ends) == 1)
        await env.ask(key="V2", ref=SECOND)
        env.runner.wake()
        await wait_until(lambda: env.ends == [State.CANCELLED] * 2)


async def test_unexpected_error_of_one_run_stops_no_other_and_it_is_tried_again(
    env: CoreEnvironment,
) -> None:
    await env.ask()
    await env.ask(key="V2", ref=SECOND)
    failures = 0

    def fail_once(_method: str) -> None:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise ValueError("unexpected")

    env.atlas.on_call = fail_once

    async with running(env):
        await wait_until(lambda: len(env.ends) == 2)


async def test_request_of_a_project_that_is_not_named_waits_untouched(
    env: CoreEnvironment,
) -> None:
    other = replace(SECOND, project_id="5b6212af90dc76637950a2c7")
    asked = submission(key="V2", ref=other, job=restore_job(other))
    waiting = (await env.requests.submit(RINA, env.policy, asked)).request
    await env.ask()

    async with running(env):
        await wait_until(lambda: len(env.ends) == 1)

    assert (await env.requests.get(waiting.id)).state is State.APPROVED
    assert env.atlas.delete_count == 1


async def test_stop_records_the_answer_of_a_delete_that_is_out_and_begins_no_other(
    env: CoreEnvironment,
) -> None:
    request = await env.ask()
    env.atlas.gates[DELETE] = asyncio.Event()
    async with running(env):
        await wait_until(lambda: env.atlas.delete_count)
        stopping = asyncio.create_task(env.runner.stop())
        await asyncio.sleep(0)
        env.atlas.gates[DELETE].set()
        await stopping

    left = await env.requests.get(request.id)
    assert (left.state, left.attempts.is_accepted) == (State.CANCELLING, True)
    assert env.atlas.calls == ["GET", "DELETE"]


async def test_stop_does_not_wait_for_a_run_whose_delete_was_answered(
    env: CoreEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STOP_WITHIN", 60.0)
    await env.ask()
    env.atlas.on_cancelled = lambda: env.atlas.gates.update({GET: asyncio.Event()})
    async with running(env):
        await wait_until(lambda: env.atlas.calls == [GET, DELETE, GET])
        async with asyncio.timeout(20):
            await env.runner.stop()


async def test_stop_ends_a_run_whose_delete_is_never_answered(
    env: CoreEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STOP_WITHIN", 0.01)
    request = await env.ask()
    env.atlas.gates[DELETE] = asyncio.Event()
    async with running(env):
        await wait_until(lambda: env.atlas.delete_count)
        async with asyncio.timeout(20):
            await env.runner.stop()
        env.atlas.gates[DELETE].set()

    left = await env.requests.get(request.id)
    assert (left.attempts.is_unknown, left.attempts.is_accepted) == (True, False)


async def test_request_that_is_started_twice_runs_once(env: CoreEnvironment) -> None:
    request = await env.ask()

    env.runner.start(request.id)
    env.runner.start(request.id)
    await wait_until(lambda: env.ends == [State.CANCELLED])
    await env.runner.stop()

    assert env.atlas.calls == ["GET", "DELETE", "GET"]


async def test_request_that_is_started_after_the_stop_does_not_run(env: CoreEnvironment) -> None:
    request = await env.ask()
    await env.runner.stop()

    env.runner.start(request.id)
    await asyncio.sleep(0.05)

    assert (await env.requests.get(request.id)).state is State.APPROVED


async def test_stop_while_rights_are_checked_begins_no_attempt(env: CoreEnvironment) -> None:
    request = await env.ask()
    is_asked = asyncio.Event()

    async def resolve(_users: Collection[str], _groups: Collection[str]) -> Mapping[str, Person]:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    env.runner.rights = Rights(resolve)
    async with running(env):
        await asyncio.wait_for(is_asked.wait(), 20)
        await env.runner.stop()

    assert (await env.requests.get(request.id)).attempts.count == 0
    assert env.atlas.calls == ["GET"]


async def test_stop_ends_a_run_that_waits_and_sends_nothing(env: CoreEnvironment) -> None:
    request = await env.ask()
    env.atlas.gates[GET] = asyncio.Event()
    async with running(env):
        await wait_until(lambda: env.atlas.calls)
        async with asyncio.timeout(1):
            await env.runner.stop()

    assert (await env.requests.get(request.id)).attempts.count == 0
