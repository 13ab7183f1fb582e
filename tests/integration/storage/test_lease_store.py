"""Claims, leases and recorded DELETEs, on both databases."""

import asyncio
from datetime import timedelta

import pytest

from bot.cancellation.errors import AlreadyHandled
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import DeleteAttempts, Outcome, Request, State
from bot.storage.lease_store import LeaseStore
from bot.timings import Timings
from tests.integration.storage.conftest import Stores
from tests.support.domain import ADA, RINA, a_request, a_waiting_request, allow, keep_all
from tests.support.timings import DATABASE_TIMEOUT


async def claimed(env: Stores) -> Request:
    return await env.claim_run(await env.store.create(a_request(), RINA))


async def test_concurrent_claims_give_the_request_to_one_runner(env: Stores) -> None:
    request = await env.store.create(a_request(), RINA)
    runners = [LeaseStore(env.database, env.clock, f"runner-{number}") for number in range(8)]

    claims = await asyncio.gather(*(runner.claim(request.id) for runner in runners))

    assert sum(claim is not None for claim in claims) == 1


async def test_claimed_request_can_be_taken_over_once_the_lease_expired(env: Stores) -> None:
    request = await env.store.create(a_request(), RINA)
    assert await env.leases.list_runnable() == [request.id]
    await env.claim_run(request)
    assert await env.leases.list_runnable() == []
    assert await env.other.claim(request.id) is None
    env.clock.advance(Timings.request_lease)
    assert await env.leases.list_runnable() == [request.id]

    taken_over = await env.other.claim(request.id)

    assert taken_over is not None
    assert (await env.events(request=request.id))[-1] == "request:taken_over"
    await env.other.record_check_failed(taken_over, "Slack does not answer.")
    assert (await env.store.get(request.id)).changed_at == request.changed_at


async def test_lost_lease_refuses_delete_settlement_and_renewal(env: Stores) -> None:
    request = await claimed(env)
    env.clock.advance(Timings.request_lease)
    await env.other.claim(request.id)

    with pytest.raises(AlreadyHandled):
        await env.leases.record_delete_sent(request)
    with pytest.raises(AlreadyHandled):
        await env.leases.settle(request, State.CANCELLED, Outcome())
    assert not await env.leases.renew(request.id)


async def test_outcome_is_stored_with_status_and_code(env: Stores) -> None:
    request = await claimed(env)
    outcome = Outcome(sentence="Atlas said no", status=400, code="CANNOT_CANCEL")

    settled = await env.leases.settle(request, State.REFUSED, outcome)

    assert (settled.state, settled.outcome) == (State.REFUSED, outcome)
    last = [line async for line in env.record.events(request=request.id)][-1]
    assert (last.event, last.detail) == (
        "request:refused",
        '{"code":"CANNOT_CANCEL","sentence":"Atlas said no","status":400}',
    )


@pytest.mark.parametrize(
    "sent", [DeleteAttempts(count=1, accepted=True), DeleteAttempts(count=1, unknown=True)]
)
async def test_retry_makes_a_delete_one_of_unknown_effect(
    env: Stores, sent: DeleteAttempts
) -> None:
    request = await claimed(env)
    sending = await env.leases.record_delete_sent(request)
    assert sending.sent == DeleteAttempts(count=1, unknown=True)
    await env.leases.record_delete_answer(sending, sent, {"status": 204}, env.clock())
    await env.leases.settle(request, State.FAILED, Outcome())

    again = await env.store.retry(
        request.id,
        RINA,
        allow,
        needed_for=lambda _request: 0,
        ttl=timedelta(minutes=30),
    )

    assert again.sent == DeleteAttempts(count=1, unknown=True)


async def test_lease_that_expires_while_the_write_is_queued_refuses_a_delete(env: Stores) -> None:
    """Another runner may take the request over from then on."""
    request = await claimed(env)
    slots = env.database._background_writes["runs"]
    async with slots, slots:
        sending = asyncio.create_task(env.leases.record_delete_sent(request))
        await asyncio.sleep(0.01)
        env.clock.advance(Timings.request_lease)

    with pytest.raises(AlreadyHandled):
        await sending


async def test_lease_is_renewed_while_the_writes_of_other_loops_wait(env: Stores) -> None:
    request = await claimed(env)
    slots = env.database._background_writes["loops"]
    async with slots, slots, asyncio.timeout(DATABASE_TIMEOUT):
        assert await env.leases.renew(request.id)


async def voided(env: Stores, needed: int) -> Request:
    """Void the one approval in the request's run, when `needed` are missing."""
    request = await env.store.create(a_waiting_request(), RINA)
    await env.store.approve(request.id, ADA, allow, keep_all)
    judgement = Judgement(
        refusal=None,
        voided=frozenset({ADA.id}),
        approvals_needed=needed,
        approvals_missing=needed,
    )
    running, outcome = await env.claim_run(request), Outcome(sentence="why")
    return await env.leases.settle(running, State.AWAITING, outcome, judgement)


async def test_voided_approval_returns_the_request_to_its_approvers(env: Stores) -> None:
    waiting = await voided(env, needed=2)

    assert (waiting.state, waiting.approved_by) == (State.AWAITING, frozenset())
    assert (waiting.voided, waiting.approvals_needed) == ((ADA.id,), 2)
    assert await env.leases.list_runnable() == []
    assert (await env.events(request=waiting.id))[-3:] == [
        "request:approval_voided", "request:approvals_raised", "request:awaiting",
    ]  # fmt: skip
    assert await env.record.verify() == []


async def test_voided_approver_may_approve_again(env: Stores) -> None:
    request = await voided(env, needed=1)

    again = await env.store.approve(request.id, ADA, allow, keep_all)

    assert again.state is State.APPROVED
    assert again.approved_by == {ADA.id}
    assert not again.voided
    assert await env.record.verify() == []


async def test_failed_check_is_recorded_only_by_the_holder(env: Stores) -> None:
    request = await claimed(env)

    with pytest.raises(AlreadyHandled):
        await env.other.record_check_failed(request, "Slack is unavailable.")
    sent = await env.leases.record_delete_sent(request)
    await env.leases.record_check_failed(sent, "Slack is unavailable.")

    events = [each async for each in env.record.events(request=request.id)]
    reports = [each.detail for each in events if each.event == "request:check_failed"]
    assert reports == ['{"sentence":"Slack is unavailable.","try":1}']
