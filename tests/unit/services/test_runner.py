"""A run: what is sent to Atlas, in which order, and how it ends, by what Atlas answers."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import (
    AtlasError,
    ConnectionBroken,
    JobNotFound,
    JobRef,
    RateLimited,
    RoleMissing,
    Unavailable,
)
from bot.cancellation.errors import NotActive, RightsNotChecked
from bot.cancellation.people import Kind
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request, State
from bot.storage.lease import Lease
from bot.storage.run_store import RunStore
from tests.support.clock import FakeClock
from tests.support.domain import GIL, LINK, START, job_ref, person
from tests.unit.services.environment import Environment, FakeAtlas

OTHER_SNAPSHOT = "5b622f7087d9d6039fafe0ff"
BROKEN = ConnectionBroken(may_have_taken_effect=True)


async def test_warm_cancel_is_get_delete_get(env: Environment) -> None:
    request = await env.run()

    assert env.atlas.calls == ["GET", "DELETE", "GET"]
    assert request.state is State.CANCELLED
    assert (await env.download()).cancelled


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ({"cancelled": True}, State.OVER),
        ({"failed": True}, State.OVER),
        ({"expired": True}, State.OVER),
        ({"finishedAt": START}, State.OVER),
        ({"snapshotId": OTHER_SNAPSHOT}, State.CHANGED),
        ({"timestamp": START}, State.CHANGED),
        ({"deliveryType": "automated"}, State.CHANGED),
    ],
)
async def test_job_that_ended_or_changed_gets_no_delete(
    env: Environment, flags: dict[str, Any], state: State
) -> None:
    (ref,) = env.atlas.flags
    env.atlas.flags[ref] = flags
    request = await env.run()

    assert request.state is state
    assert env.atlas.calls == ["GET"]


async def test_link_that_a_read_of_the_run_shows_is_stored(env: Environment) -> None:
    (ref,) = env.atlas.flags
    env.atlas.flags[ref] = dict(LINK)
    request = await env.run()

    assert request.state is State.CANCELLED
    assert (await env.download()).link_existed


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


@pytest.mark.parametrize(
    ("takes_effect", "calls"),
    [
        (True, ["GET", "DELETE", "GET"]),
        (False, ["GET", "DELETE", "GET", "DELETE", "GET"]),
    ],
)
async def test_lost_answer_is_followed_by_a_get_and_not_by_a_blind_resend(
    env: Environment, takes_effect: bool, calls: list[str]
) -> None:
    env.atlas.answers = [(BROKEN, takes_effect)]
    request = await env.run()

    assert env.atlas.calls == calls
    assert request.state is State.CANCELLED


async def test_accepted_delete_is_never_sent_again(env: Environment) -> None:
    env.atlas.answers = [(202, False)]
    request = await env.run()

    assert env.atlas.deletes == 1
    assert request.state is State.FAILED
    assert request.attempts.may_have_taken_effect


async def test_refused_delete_ends_the_run_with_the_code_of_atlas(env: Environment) -> None:
    env.atlas.answers = [(RoleMissing(status=403, code="USER_UNAUTHORIZED"), False)]
    request = await env.run()

    assert request.state is State.REFUSED
    assert (request.outcome.status, request.outcome.code) == (403, "USER_UNAUTHORIZED")
    assert env.atlas.deletes == 1


async def test_job_that_ended_beside_a_refused_delete_is_over(env: Environment) -> None:
    env.atlas.answers = [(RoleMissing(status=403), True)]

    assert (await env.run()).state is State.OVER


@pytest.mark.parametrize("error", [Unavailable(status=503), BROKEN, JobNotFound(status=404)])
async def test_one_fault_of_a_read_is_tried_again(env: Environment, error: AtlasError) -> None:
    env.atlas.failures = [error]
    request = await env.run()

    assert env.atlas.calls == ["GET", "GET", "DELETE", "GET"]
    assert request.state is State.CANCELLED


async def test_lasting_404_refuses_the_run_without_a_delete(env: Environment) -> None:
    request = await env.approved()
    env.atlas.flags.clear()
    await env.runner().run(request.id)

    assert (await env.requests.get(request.id)).state is State.REFUSED
    assert env.atlas.deletes == 0


async def test_lasting_fault_is_shown_calls_people_once_and_fails_after_70_minutes(
    env: Environment,
) -> None:
    env.atlas.failures = [Unavailable(status=503) for _ in range(10_000)]
    began = env.clock.now
    request = await env.run()
    kinds = [reply.kind for reply in await env.replies()]

    assert request.state is State.FAILED
    assert request.outcome.status == 503
    assert timedelta(minutes=70) <= env.clock.now - began <= timedelta(minutes=72)
    assert max(env.clock.sleeps) <= 60
    assert kinds.count(ReplyKind.TROUBLE) == 1
    assert env.atlas.deletes == 0


async def test_retry_after_is_honoured_within_a_minute(env: Environment) -> None:
    env.atlas.failures = [RateLimited(status=429, retry_after=7), None]
    await env.run()

    assert 7 <= sum(env.clock.sleeps) < 8


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


class SlowRuns(RunStore):
    """A database whose first record of an attempt takes six seconds."""

    clock: FakeClock
    has_been_slow = False

    async def record_sent(self, request: Request) -> Request:
        recorded = await super().record_sent(request)
        if not self.has_been_slow:
            self.has_been_slow = True
            self.clock.advance(6)
        return recorded


async def test_delete_is_not_sent_where_its_record_took_over_five_seconds(
    env: Environment,
) -> None:
    slow = SlowRuns(env.database, env.clock, env.lease)
    slow.clock = env.clock
    request = await env.run(env.runner(slow))

    assert env.atlas.calls == ["GET", "GET", "DELETE", "GET"]
    assert request.attempts.count == 2


async def test_process_that_lost_the_lease_sends_nothing(env: Environment) -> None:
    request = await env.approved()
    old = env.lease.number
    await env.lease.release()
    assert await Lease(env.database, "another process").take()
    env.lease.number = old

    with pytest.raises(NotActive):
        await env.runner().run(request.id)
    assert env.atlas.deletes == 0


@pytest.mark.parametrize("was_cancelled", [True, False])
async def test_run_of_a_dead_process_is_continued_by_a_get(
    env: Environment, was_cancelled: bool
) -> None:
    request = await env.approved()
    await env.runs.record_sent(await env.runs.begin(request.id))
    if was_cancelled:
        (ref,) = env.atlas.flags
        env.atlas.flags[ref] = {"cancelled": True}
    await env.runner().run(request.id)

    assert (await env.requests.get(request.id)).state is State.CANCELLED
    assert env.atlas.calls == (["GET"] if was_cancelled else ["GET", "DELETE", "GET"])


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
