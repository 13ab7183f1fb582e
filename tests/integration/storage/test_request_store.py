"""Creating requests and deciding on them, on both databases."""

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from bot.atlas import JobState
from bot.cancellation.errors import (
    AlreadyApproved,
    AlreadyHandled,
    JobAlreadyRequested,
    NotAllowed,
    NotRecorded,
)
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import JobFingerprint, Outcome, Request, State
from bot.cancellation.policy import Policy, may_approve_once
from bot.storage.job_store import change
from bot.storage.request_store import add_request
from bot.storage.unit_of_work import UnitOfWork
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import (
    ABE,
    ADA,
    RINA,
    a_job,
    a_request,
    a_waiting_request,
    allow,
    an_ask,
    job_ref,
    keep_all,
)

TTL = timedelta(minutes=30)


async def test_created_request_is_read_back_unchanged(env: Stores) -> None:
    request = a_request(moved_because="a direct message")

    created = await env.store.create(request, RINA)

    assert created == request
    assert await env.store.get(request.id) == request


async def test_link_that_was_shown_is_read_back_unchanged(env: Stores) -> None:
    """Two fingerprints are equal without it."""
    live = a_job(link_is_live=True, expires_at=NOON + timedelta(hours=1))
    request = await env.store.create(a_request(shown=JobFingerprint.of(live)), RINA)

    assert asdict((await env.store.get(request.id)).shown) == asdict(request.shown)


async def test_concurrent_requests_for_one_job_create_one_and_name_it_to_the_other(
    env: Stores,
) -> None:
    one, two = a_request(ref=job_ref()), a_request(ref=job_ref(), requester=ADA.id)

    results = await asyncio.gather(
        env.store.create(one, RINA), env.store.create(two, ADA), return_exceptions=True
    )

    lost = [result for result in results if isinstance(result, JobAlreadyRequested)]
    won = [result for result in results if not isinstance(result, BaseException)]
    assert (len(won), len(lost)) == (1, 1)
    assert lost[0].request == won[0]


async def test_concurrent_deliveries_of_one_submission_create_one_request(env: Stores) -> None:
    ref = job_ref()
    made = [a_request(key="V1", ref=ref) for _ in range(20)]

    results = await asyncio.gather(*(env.store.create(each, RINA) for each in made))

    assert len({result.id for result in results}) == 1
    assert await env.events() == ["request:created", "request:approved"]


async def test_concurrent_approvals_of_two_people_complete_the_quorum(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(approvals=2), RINA)

    await asyncio.gather(
        env.store.approve(request.id, ADA, allow, keep_all),
        env.store.approve(request.id, ABE, allow, keep_all),
    )

    assert (await env.store.get(request.id)).state is State.APPROVED


async def test_concurrent_approvals_of_one_person_count_once(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(approvals=2), RINA)

    def again(now: Request) -> NotAllowed | None:
        return may_approve_once(Policy(), now, ADA)

    results = await asyncio.gather(
        *(env.store.approve(request.id, ADA, again, keep_all) for _ in range(5)),
        return_exceptions=True,
    )

    assert sum(isinstance(result, AlreadyApproved) for result in results) == 4
    assert (await env.store.get(request.id)).approved_by == {ADA.id}


async def test_approval_and_its_end_concern_one_person_and_one_request(env: Stores) -> None:
    first, second = [await env.store.create(a_waiting_request(3), RINA) for _ in range(2)]
    for person in (ADA, ABE):
        for each in (first, second):
            await env.store.approve(each.id, person, allow, keep_all)

    def void_ada(request: Request) -> Judgement:
        return replace(keep_all(request), voided=frozenset({ADA.id}))

    await env.store.approve(second.id, RINA, allow, void_ada)

    approved_by = {
        each.id: each.approved_by for each in await env.history.in_states(State.AWAITING)
    }
    assert approved_by == {first.id: {ADA.id, ABE.id}, second.id: {ABE.id, RINA.id}}


async def test_refused_decision_changes_nothing(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(), RINA)

    with pytest.raises(NotAllowed):
        await env.store.approve(request.id, RINA, lambda _request: AlreadyApproved(), keep_all)

    assert await env.store.get(request.id) == request
    assert await env.events(request=request.id) == ["request:created"]


async def test_waiting_request_expires(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(), RINA)
    assert await env.store.end_due() == []
    env.clock.advance(1800)

    first, second = await asyncio.gather(env.store.end_due(), env.store.end_due())

    assert len(first) + len(second) == 1
    assert (await env.store.get(request.id)).state is State.EXPIRED


@pytest.mark.parametrize("how", [state for state in JobState if state.is_over])
async def test_waiting_request_ends_with_its_download_unless_atlas_only_does_not_list_it(
    env: Stores, how: JobState
) -> None:
    request = await env.store.create(a_waiting_request(), RINA)
    other = await env.store.create(a_waiting_request(), RINA)

    def end(uow: UnitOfWork) -> None:
        change(uow, request.ref, lambda job: job.entering(how, uow.now))

    await env.jobs._write(end)
    ended = [each.id for each in await env.store.end_due()]
    now = await env.store.get(request.id)

    if how is JobState.GONE:
        assert (ended, now.state) == ([], State.AWAITING)
    else:
        assert (ended, now.state) == ([request.id], State.OVER)
        assert how.sentence in now.outcome.sentence
    assert (await env.store.get(other.id)).state is State.AWAITING


async def test_more_requests_than_one_transaction_can_take_expire_in_several(env: Stores) -> None:
    for _ in range(25):
        await env.store.create(a_waiting_request(), RINA)
    env.clock.advance(1800)

    assert [len(await env.store.end_due()) for _ in range(3)] == [20, 5, 0]


async def test_failed_request_can_be_retried_at_any_time(env: Stores) -> None:
    request = await env.store.create(a_request(), RINA)
    claimed = await env.claim_run(request)
    await env.leases.settle(claimed, State.FAILED, Outcome(sentence="Atlas was away"))

    again = await env.store.retry(request.id, RINA, allow, needed_for=lambda _request: 0, ttl=TTL)

    assert (again.state, again.outcome) == (State.APPROVED, Outcome())
    with pytest.raises(AlreadyHandled):
        await env.store.retry(request.id, RINA, allow, needed_for=lambda _request: 0, ttl=TTL)
    await env.end_run(request, State.FAILED)
    env.clock.advance(1800)

    late = await env.store.retry(request.id, RINA, allow, needed_for=lambda _request: 1, ttl=TTL)

    assert (late.state, late.approvals_needed) == (State.AWAITING, 1)
    assert late.expires_at == env.clock() + TTL


async def test_retry_keeps_approvals_until_the_approval_time_is_over(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(), RINA)
    other = await env.store.create(a_waiting_request(2), RINA)
    for each in (request, other):
        await env.store.approve(each.id, ADA, allow, keep_all)
    await env.end_run(request, State.FAILED)

    again = await env.store.retry(request.id, RINA, allow, needed_for=lambda _request: 1, ttl=TTL)

    assert (again.state, again.approved_by) == (State.APPROVED, frozenset({ADA.id}))
    assert again.expires_at == request.expires_at
    await env.end_run(request, State.FAILED)
    env.clock.now = request.expires_at

    late = await env.store.retry(request.id, RINA, allow, needed_for=lambda _request: 1, ttl=TTL)

    assert (late.state, late.approved_by) == (State.AWAITING, frozenset())
    assert late.expires_at == env.clock() + TTL
    assert (await env.store.get(other.id)).approved_by == {ADA.id}
    assert await env.record.verify() == []


async def test_retry_of_the_bots_own_request_is_an_approval(env: Stores) -> None:
    own = a_request(requester="", approvals_needed=1)
    await env.store._write(lambda uow: add_request(uow, own, None))
    await env.end_run(own, State.FAILED)

    again = await env.store.retry(own.id, ADA, allow, needed_for=lambda _request: 1, ttl=TTL)

    assert (again.state, again.approved_by) == (State.APPROVED, frozenset({ADA.id}))
    assert await env.events(actor=ADA.id) == ["request:retried", "request:approved"]
    assert await env.record.verify() == []


async def test_typed_text_is_not_logged(env: Stores, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs:
        typed = an_ask().with_typed(lambda _text: "typed by Rina")
        request = await env.store.create(a_waiting_request(ask=typed), RINA)
        await env.store.decide(request.id, State.DENIED, ADA, allow, reason="typed by Ada")
        with pytest.raises(NotRecorded):
            await env.database.write(
                lambda db: db.execute(text("INSERT INTO nowhere VALUES (:it)"), {"it": "typed"})
            )

    assert len(logs) == 3
    assert "typed" not in f"{logs}{caplog.text}"


async def test_late_redelivery_returns_its_own_request_while_another_is_open(env: Stores) -> None:
    first = await env.store.create(a_waiting_request(key="V1", ref=job_ref()), RINA)
    ended = await env.store.decide(first.id, State.WITHDRAWN, RINA, allow)
    await env.store.create(a_waiting_request(key="V2", ref=job_ref()), ADA)

    again = await env.store.create(a_waiting_request(key="V1", ref=job_ref()), RINA)

    assert again == ended


async def test_ended_requests_are_not_counted_as_open(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    waiting = await env.store.create(a_waiting_request(), RINA)

    assert (await env.history.counts())[0] == 2
    await env.store.decide(waiting.id, State.WITHDRAWN, RINA, allow)
    assert (await env.history.counts())[0] == 1
