"""A run and the people behind it: rights right before the DELETE, records, the end of a process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.atlas import (
    ConnectionBroken,
    JobRef,
)
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import Kind
from bot.cancellation.request import Request, State
from bot.storage.run_store import RunStore
from tests.support.domain import GIL, job_ref, person
from tests.unit.services.environment import Environment, FakeAtlas, new_environment

OTHER_SNAPSHOT = "5b622f7087d9d6039fafe0ff"
BROKEN = ConnectionBroken(may_have_taken_effect=True)


@pytest.fixture
async def env() -> AsyncIterator[Environment]:
    async with new_environment() as opened:
        yield opened


class RecordingAtlas(FakeAtlas):
    """Remembers what the database says at the moment of the DELETE."""

    def __init__(self, runs: RunStore) -> None:
        super().__init__()
        self.runs = runs
        self.seen: list[Request] = []

    async def cancel_restore_job(self, ref: JobRef) -> int:
        self.seen += await self.runs.running()
        return await super().cancel_restore_job(ref)


async def test_attempt_is_recorded_as_unknown_before_it_is_sent(env: Environment) -> None:
    env.atlas = atlas = RecordingAtlas(env.runs)
    request = await env.run()

    assert [(item.attempts.count, item.attempts.is_unknown) for item in atlas.seen] == [(1, True)]
    assert (request.attempts.is_accepted, request.attempts.is_unknown) == (True, False)


async def test_approval_that_counts_no_more_lets_the_request_wait_again(env: Environment) -> None:
    env.people["U0ADA"] = person("U0ADA", Kind.DEACTIVATED)
    request = await env.run()

    assert request.state is State.AWAITING
    assert not request.approved_by
    assert env.atlas.deletes == 0


async def test_requester_without_the_right_withdraws_the_request(env: Environment) -> None:
    env.people["U0RINA"] = person("U0RINA", Kind.DEACTIVATED)
    request = await env.run()

    assert request.state is State.WITHDRAWN
    assert request.outcome.lost_right
    assert env.atlas.deletes == 0


async def test_decision_holds_while_slack_is_silent(env: Environment) -> None:
    env.silence = RightsNotChecked("Slack did not answer.")

    assert (await env.run()).state is State.CANCELLED


async def test_run_waits_where_slack_was_silent_for_ten_minutes(env: Environment) -> None:
    request = await env.approved()
    await env.runs.begin(request.id)
    env.silence = RightsNotChecked("Slack did not answer.")
    env.clock.advance(601)
    await env.runner().run(request.id)
    after = await env.requests.get(request.id)

    assert after.state is State.FAILED
    assert env.atlas.deletes == 0


class WaitingAtlas(FakeAtlas):
    """An Atlas that answers a DELETE only after `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.received, self.release = asyncio.Event(), asyncio.Event()

    async def cancel_restore_job(self, ref: JobRef) -> int:
        self.received.set()
        await self.release.wait()
        return await super().cancel_restore_job(ref)


async def test_stop_records_the_answer_of_an_attempt_that_is_out(env: Environment) -> None:
    env.atlas = atlas = WaitingAtlas()
    request, runner = await env.approved(), env.runner()
    runner.start(request.id)
    await atlas.received.wait()
    stopping = asyncio.create_task(runner.stop())
    await asyncio.sleep(0)
    atlas.release.set()
    await stopping
    after = await env.requests.get(request.id)

    assert (after.attempts.is_accepted, after.attempts.is_unknown) == (True, False)
    assert atlas.deletes == 1


async def test_run_that_fails_in_the_bot_stops_no_other(env: Environment) -> None:
    second = job_ref(number=2)
    env.atlas.flags[second] = {}
    env.people.pop("U0RINA")  # the bot's own error: a person whom nobody answers for
    first = await env.approved()
    alone = await env.ask(GIL, key="V2", ref=second, alone=True)
    runner, ended = env.runner(), asyncio.Event()
    runner.on_end = lambda _request, _download: ended.set()
    running = asyncio.create_task(runner.run_all())
    async with asyncio.timeout(5):
        await ended.wait()
    running.cancel()
    await runner.stop()

    assert (await env.requests.get(alone.id)).state is State.CANCELLED
    assert (await env.requests.get(first.id)).state is State.CANCELLING
