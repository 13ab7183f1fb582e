"""The tasks of runs: all requests that must run, side by side, and what a stop leaves."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bot.cancellation.change import Change, RequestChange
from bot.cancellation.people import Person
from bot.cancellation.request import Attempts, State
from bot.services.active import STOP_WITHIN
from bot.services.rights import Rights
from bot.services.runner import Run
from bot.tasks import cancel_and_wait
from tests.support.clock import simulate
from tests.support.core import CoreEnvironment, core_environment
from tests.support.domain import POLICY, RINA, START, job_ref, restore_job, submission
from tests.support.fake_atlas import DELETE, GET
from tests.support.polling import wait_until

SECOND, THIRD = job_ref(START, 2), job_ref(START, 3)
NO_APPROVALS = replace(POLICY, approvals=0)


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
    env.policy = NO_APPROVALS
    env.build()
    return env


def in_simulated_time(work: Callable[[CoreEnvironment], Coroutine[Any, Any, None]]) -> None:
    async def run(_loop: object) -> None:
        async with core_environment(NO_APPROVALS) as env:
            await work(env)

    simulate(run)


async def test_new_process_runs_what_a_dead_one_left(env: CoreEnvironment) -> None:
    await env.ask()
    cancelling = await env.ask(key="V2", ref=SECOND)
    await env.runs.begin(cancelling.id)

    async with running(env):
        await wait_until(lambda: len(env.ends) == 2)

    assert not await env.runs.running()


def test_approved_request_runs_within_a_second_and_at_once_where_the_runner_is_woken() -> None:
    ended_at: list[float] = []

    async def ask(env: CoreEnvironment) -> None:
        loop = asyncio.get_running_loop()

        def note(change: Change) -> None:
            if isinstance(change, RequestChange) and change.after.state.has_ended:
                ended_at.append(loop.time())

        env.database.report = note
        async with running(env):
            await asyncio.sleep(0.5)
            await env.ask()
            await asyncio.sleep(2)
            await env.ask(key="V2", ref=SECOND)
            env.runner.wake()
            await asyncio.sleep(0.5)
            await env.ask(key="V3", ref=THIRD)
            await asyncio.sleep(1)

    in_simulated_time(ask)

    assert ended_at == [1.0, 2.5, 3.5]


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


def test_stop_records_the_answer_of_a_delete_that_is_out_and_begins_no_other() -> None:
    async def stop(env: CoreEnvironment) -> None:
        sending = await env.ask()
        hang(env, DELETE)
        async with running(env):
            await wait_until(lambda: env.atlas.delete_count)
            assert env.runner.is_sending
            hang(env, GET)
            reading = await env.ask(key="V2", ref=SECOND)
            await wait_until(lambda: env.atlas.calls == [GET, DELETE, GET])
            stopping = asyncio.create_task(env.runner.stop())
            for name in (GET, DELETE):
                await asyncio.sleep(0.1)
                env.atlas.gates[name].set()
            await stopping
        assert env.atlas.calls == [GET, DELETE, GET]
        sent, unsent = [await env.requests.get(request.id) for request in (sending, reading)]
        assert sent.attempts == Attempts(count=1, accepted_at=START)
        assert unsent.attempts == Attempts()

    in_simulated_time(stop)


def hang(env: CoreEnvironment, name: str) -> None:
    env.atlas.gates[name] = asyncio.Event()


def hang_after_delete(env: CoreEnvironment) -> None:
    env.atlas.on_cancelled = lambda: hang(env, GET)


@pytest.mark.parametrize(
    ("set_up", "calls", "attempts", "waits"),
    [
        (lambda env: hang(env, GET), [GET], Attempts(), False),
        (lambda env: hang(env, DELETE), [GET, DELETE], Attempts(count=1, is_unknown=True), True),
        (hang_after_delete, [GET, DELETE, GET], Attempts(count=1, accepted_at=START), False),
    ],
    ids=["before the DELETE", "while the DELETE is out", "after its answer"],
)
def test_stop_waits_only_for_an_answer_to_a_delete_and_not_for_long(
    set_up: Callable[[CoreEnvironment], None],
    calls: Sequence[str],
    attempts: Attempts,
    *,
    waits: bool,
) -> None:
    async def stop(env: CoreEnvironment) -> None:
        request = await env.ask()
        set_up(env)
        async with running(env):
            await wait_until(lambda: env.atlas.calls == calls)
            began = asyncio.get_running_loop().time()
            await env.runner.stop()
            waited = asyncio.get_running_loop().time() - began
            assert not [task for task in asyncio.all_tasks() if "run " in task.get_name()]
        assert waited < STOP_WITHIN
        assert (waited > 0) is waits
        assert (await env.requests.get(request.id)).attempts == attempts
        assert env.atlas.calls == calls

    in_simulated_time(stop)


async def test_run_that_has_ended_is_not_kept_in_memory(env: CoreEnvironment) -> None:
    await env.run(await env.ask())

    gc.collect()
    runs = [thing for thing in gc.get_objects() if isinstance(thing, Run)]
    assert not [run for run in runs if run.runner is env.runner]


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
