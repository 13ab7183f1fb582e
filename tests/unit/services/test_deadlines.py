"""What each second does: expiry, the reminder, auto-cancel, read-only projects."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from bot.cancellation.change import Change, RequestChange
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request, State
from bot.services.deadlines import Deadlines
from bot.services.projects import Projects
from bot.storage.database import TIMEOUT, Database
from bot.tasks import cancel_and_wait
from tests.support.clock import SimulatedLoop, simulate
from tests.support.core import CoreEnvironment, core_environment
from tests.support.domain import (
    ADA,
    AUTO_CANCEL,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    job_ref,
    restore_job,
)

T = TypeVar("T")
SECOND = job_ref(START, 2)


@dataclass
class Step:
    """The step of each second, and what it called."""

    env: CoreEnvironment
    sleep: Callable[[float], Awaitable[object]] | None = None
    runs_started: int = 0

    def __post_init__(self) -> None:
        env = self.env
        self.deadlines = Deadlines(
            requests=env.requests,
            downloads=env.downloads,
            projects=env.projects,
            start_run=self._start_run,
            now=env.clock,
            sleep=self.sleep or env.clock.sleep,
        )

    def _start_run(self) -> None:
        self.runs_started += 1

    async def after(self, seconds: float) -> None:
        """Let the steps act this long after the start."""
        self.env.clock.now = START + timedelta(seconds=seconds)
        await self.deadlines.step()
        await self.deadlines.auto_cancel()


def with_policy(env: CoreEnvironment, policy: Policy) -> CoreEnvironment:
    env.policy = policy
    env.build()
    return env


async def test_requests_are_looked_at_each_second(env: CoreEnvironment) -> None:
    with_policy(env, replace(POLICY, approval_ttl=timedelta(seconds=3)))
    waiting = await env.ask()
    task = asyncio.create_task(Step(env).deadlines.run())
    async with asyncio.timeout(20):
        while (request := await env.requests.get(waiting.id)).is_open:  # noqa: ASYNC110 - the clock moves
            await asyncio.sleep(0)
    await cancel_and_wait(task)

    assert (request.state, request.changed_at) == (State.EXPIRED, START + timedelta(seconds=3))


async def test_auto_cancel_times_are_looked_at_each_second(env: CoreEnvironment) -> None:
    await with_policy(env, AUTO_CANCEL).list_new()
    task = asyncio.create_task(Step(env).deadlines.run_auto_cancel())
    async with asyncio.timeout(20):
        while not (found := await env.runs.running()):  # noqa: ASYNC110 - the clock moves
            await asyncio.sleep(0)
    await cancel_and_wait(task)

    assert found[0].changed_at == START + timedelta(seconds=90)


async def test_old_rows_are_deleted_while_the_process_runs(env: CoreEnvironment) -> None:
    await env.list_new()
    env.clock.advance(timedelta(days=89, hours=23, minutes=30).total_seconds())
    task = asyncio.create_task(Step(env).deadlines.clean())
    async with asyncio.timeout(20):
        while await env.downloads.get(PROJECT, REF.job_id):  # noqa: ASYNC110 - the clock moves
            await asyncio.sleep(0)
    await cancel_and_wait(task)

    assert env.clock.now - START > timedelta(days=90)


# Requests.


@pytest.mark.parametrize(("seconds", "state"), [(1799, "awaiting"), (1800, "expired")])
async def test_request_expires_at_its_time(seconds: int, state: str, env: CoreEnvironment) -> None:
    waiting = await env.ask()

    await Step(env).after(seconds)

    assert (await env.requests.get(waiting.id)).state == state


async def test_waiting_request_is_reminded_of_once_after_a_minute(env: CoreEnvironment) -> None:
    await env.ask()
    step, reminders = Step(env), []

    for seconds in (59, 60, 61, 600):
        await step.after(seconds)
        reminders.append((await env.replies()).count("reminder"))

    assert reminders == [0, 1, 1, 1]
    assert (await env.events()).count("request:reminded") == 1


async def test_waiting_request_ends_with_its_download(env: CoreEnvironment) -> None:
    waiting = await env.ask()
    later = START + timedelta(seconds=5)
    await env.downloads.record_job(REF, restore_job(failed=True), later, POLICY)

    await Step(env).after(6)

    assert (await env.requests.get(waiting.id)).state is State.OVER


async def test_error_about_one_request_stops_no_other_and_no_auto_cancel(
    env: CoreEnvironment,
) -> None:
    with_policy(env, AUTO_CANCEL)
    failing, other = await env.ask(), await env.ask(key="V2", ref=SECOND)
    await env.list_new(job_ref(START, 3))

    def fail(change: Change) -> None:
        if isinstance(change, RequestChange) and change.after.id == failing.id:
            raise ValueError("unexpected")

    env.database.report = fail

    await Step(env).after(1800)

    assert (await env.requests.get(other.id)).state is State.EXPIRED
    assert [item.ref for item in await env.runs.running()] == [job_ref(START, 3)]


# Auto-cancel.


@pytest.mark.parametrize(("seconds", "running"), [(89, 0), (90, 1)])
async def test_new_download_is_cancelled_at_its_time_and_not_earlier(
    seconds: int, running: int, env: CoreEnvironment
) -> None:
    await with_policy(env, AUTO_CANCEL).list_new()
    step = Step(env)

    await step.after(seconds)

    found = await env.runs.running()
    assert [item.is_automatic for item in found] == [True] * running
    assert step.runs_started == running


async def test_waiting_request_becomes_approved_at_the_time_in_the_name_of_nobody(
    env: CoreEnvironment,
) -> None:
    await with_policy(env, AUTO_CANCEL).list_new()
    waiting = await env.ask()

    await Step(env).after(90)

    (running,) = await env.runs.running()
    assert (running.id, running.requester, running.is_automatic) == (waiting.id, "U0RINA", True)


@pytest.mark.parametrize("how", ["withdrawn", "expired"])
async def test_request_that_ended_before_changes_nothing_about_the_time(
    how: str, env: CoreEnvironment
) -> None:
    policy = replace(AUTO_CANCEL, approval_ttl=timedelta(seconds=30))
    await with_policy(env, policy).list_new()
    waiting = await env.ask()
    step = Step(env)
    if how == "withdrawn":
        await env.service.let_run(REF, waiting.id, RINA, "")
    await step.after(60)
    assert (await env.requests.get(waiting.id)).state == how

    await step.after(90)

    (running,) = await env.runs.running()
    assert running.requester is None


async def test_download_that_an_approver_let_run_is_not_cancelled(env: CoreEnvironment) -> None:
    await with_policy(env, AUTO_CANCEL).list_new()
    await env.service.let_run(REF, None, ADA, "planned")

    await Step(env).after(90)

    assert await env.runs.running() == []


async def test_time_waits_for_the_end_of_a_run_and_is_used_where_it_failed(
    env: CoreEnvironment,
) -> None:
    await with_policy(env, AUTO_CANCEL).list_new()
    first = await env.ask(ADA)
    step = Step(env)
    await step.after(90)

    env.atlas.gets.append({"snapshotId": "5b622f7087d9d6039fafe0ff"})
    assert (await env.run(first)).state is State.CHANGED
    await step.after(91)

    (running,) = await env.runs.running()
    assert running.requester is None


# Delays.


class SlowDatabase(Database):
    """A database of which each transaction takes so many seconds."""

    seconds = 0.0

    async def read(self, work: Callable[[Connection], T]) -> T:
        found = await super().read(work)
        await asyncio.sleep(self.seconds)
        return found

    async def write(self, work: Callable[[Connection], T]) -> T:
        await asyncio.sleep(self.seconds)
        return await super().write(work)


async def slow_until_the_100th_second(loop: SimulatedLoop) -> tuple[Request, list[str]]:
    """Let much be due from the 89th second on, while each transaction nearly takes its limit.

    Return the request that expires at the 90th, and the downloads whose time was then that run.
    """
    loop.clock.now = START
    policy = replace(AUTO_CANCEL, approval_ttl=timedelta(seconds=90))
    async with core_environment(policy, SlowDatabase, loop.clock) as env:
        assert isinstance(env.database, SlowDatabase)
        expiring = await env.ask()
        timed = [await env.list_new(job_ref(START, number)) for number in range(2, 8)]
        await asyncio.sleep(29)
        for number in range(8, 14):
            await env.ask(key=f"V{number}", ref=job_ref(START, number))  # reminders after a minute
        deadlines = Step(env, asyncio.sleep).deadlines
        await asyncio.sleep(57)
        env.database.seconds = TIMEOUT - 0.1
        loops = [asyncio.create_task(run()) for run in (deadlines.run, deadlines.run_auto_cancel)]
        await asyncio.sleep(14)
        await cancel_and_wait(*loops)
        env.database.seconds = 0
        running = {request.ref for request in await env.runs.running()}
        return (
            await env.requests.get(expiring.id),
            [item.ref.job_id for item in timed if item.ref in running],
        )


def test_auto_cancel_acts_within_ten_seconds_while_slow_work_is_due() -> None:
    _, running = simulate(slow_until_the_100th_second)

    assert running == [job_ref(START, number).job_id for number in range(2, 8)]


def test_request_expires_within_ten_seconds_while_slow_work_is_due() -> None:
    expired, _ = simulate(slow_until_the_100th_second)

    assert expired.state is State.EXPIRED


# After a take-over.


async def test_open_requests_of_a_read_only_project_end_as_withdrawn(env: CoreEnvironment) -> None:
    refs = [job_ref(START, number) for number in (1, 2, 3)]
    waiting, approved, cancelling = [
        await env.ask(key=f"V{number}", ref=ref) for number, ref in enumerate(refs)
    ]
    for item in (approved, cancelling):
        await env.service.approve(item.id, ADA)
    await env.runs.begin(cancelling.id)
    with_policy(env, replace(POLICY, read_only=True))

    await Step(env).deadlines.apply_settings()

    for item in (waiting, approved, cancelling):
        ended = await env.requests.get(item.id)
        assert (ended.state, ended.outcome.is_read_only) == (State.WITHDRAWN, True)
    assert (await env.events()).count("request:withdrawn") == 3
    assert env.clock.sleeps == []  # it is done once


@pytest.mark.parametrize(
    ("approvals", "state", "missing", "is_shown"),
    [
        (1, State.APPROVED, 0, True),
        (2, State.AWAITING, 1, False),
        (3, State.AWAITING, 2, True),
    ],
)
async def test_waiting_request_is_judged_by_the_policy_of_this_start(
    approvals: int, state: State, missing: int, *, is_shown: bool, env: CoreEnvironment
) -> None:
    with_policy(env, replace(POLICY, approvals=2))
    waiting = await env.approved()
    (before,) = await env.outbox.due(10)
    with_policy(env, replace(POLICY, approvals=approvals))

    await Step(env).deadlines.apply_settings()

    found = await env.requests.get(waiting.id)
    (after,) = await env.outbox.due(10)
    assert (found.state, found.missing, found.is_automatic) == (state, missing, False)
    assert (after.wanted_version > before.wanted_version) is is_shown
    assert ((await env.replies())[-1] == "waits_again") is (approvals > waiting.needed)


class FailsOnce(Database):
    """A database of which one transaction fails, after some that work."""

    work_before: float = math.inf

    async def read(self, work: Callable[[Connection], T]) -> T:
        self._count()
        return await super().read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self._count()
        return await super().write(work)

    def _count(self) -> None:
        self.work_before -= 1
        if self.work_before == -1:
            raise ValueError("unexpected")


@pytest.mark.parametrize("work_before", range(3))
async def test_settings_are_applied_again_until_every_transaction_has_worked(
    work_before: int,
) -> None:
    async with core_environment(open_database=FailsOnce) as env:
        assert isinstance(env.database, FailsOnce)
        waiting = await env.ask()
        with_policy(env, replace(POLICY, read_only=True))
        env.database.work_before = work_before

        await Step(env).deadlines.apply_settings()

        assert env.database.work_before < 0
        assert (await env.requests.get(waiting.id)).state is State.WITHDRAWN
        assert env.clock.sleeps == [1.0]


async def test_open_requests_of_a_project_that_is_not_named_wait_untouched(
    env: CoreEnvironment,
) -> None:
    waiting = await env.ask()
    env.projects = Projects([])
    step = Step(env)

    await step.deadlines.apply_settings()
    await step.after(1800)

    assert (await env.requests.get(waiting.id)).state is State.AWAITING


async def test_messages_of_running_downloads_are_edited_at_each_start(
    env: CoreEnvironment,
) -> None:
    download = await env.list_new()
    (delivery,) = await env.outbox.due(10)
    await env.outbox.message_shown(REF, delivery.wanted_version, str(download.channel), "1.0")
    assert await env.outbox.due(10) == []

    await Step(env).deadlines.apply_settings()

    assert [item.download.ref for item in await env.outbox.due(10)] == [REF]
