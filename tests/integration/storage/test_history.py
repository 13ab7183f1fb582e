"""Past and waiting requests, read from a real database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import Person
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import ABE, PROJECT_ID, RINA, a_request, a_waiting_request, allow

OTHER = "5b6212af90dc76637950a2c7"


async def asked(env: Stores, person: Person = RINA, **changes: object) -> Request:
    env.clock.advance(1)
    made = a_request(created_at=env.clock(), changed_at=env.clock(), **changes)
    return await env.store.create(made, person)


async def test_recent_requests_come_newest_first_with_their_outcome(env: Stores) -> None:
    first = await asked(env)
    second = await asked(env, state=State.AWAITING, approvals_needed=1)
    await env.store.decide(second.id, State.DENIED, ABE, allow, reason="no")
    past = await env.history.recent(10, [PROJECT_ID])

    assert [(each.request, each.state, each.by) for each in past] == [
        (second.id, State.DENIED, ABE.id),
        (first.id, State.APPROVED, None),
    ]
    assert past[0].requester == RINA.id
    assert past[0].job_id == second.ref.job_id


async def test_recent_requests_are_limited(env: Stores) -> None:
    made = [await asked(env) for _ in range(5)]
    past = await env.history.recent(3, [PROJECT_ID])

    assert [each.request for each in past] == [each.id for each in reversed(made)][:3]


async def test_requests_of_other_projects_are_excluded(
    env: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.storage.audit_log.HISTORY_BATCH_SIZE", 5)
    kept = await asked(env)
    for _ in range(12):
        made = a_request()
        await env.store.create(replace(made, ref=replace(made.ref, project_id=OTHER)), RINA)
    past = await env.history.recent(1, [PROJECT_ID])

    assert [each.request for each in past] == [kept.id]


async def test_pruned_request_is_read_from_its_events(env: Stores) -> None:
    request = await asked(env, state=State.AWAITING, approvals_needed=1)
    await env.store.decide(request.id, State.DENIED, ABE, allow, reason="no")
    env.clock.advance(60)
    while posts := await env.outbox.claim("me", 10):
        for post in posts:
            await env.outbox.mark_sent(post, "C0OPS", "1.2")
    before = await env.history.recent(10, [PROJECT_ID])
    pruned = await env.history.prune(env.clock() + timedelta(days=1))
    (past,) = await env.history.recent(10, [PROJECT_ID])

    assert pruned == 1
    assert (past.state, past.by, past.card) == (State.DENIED, ABE.id, None)
    assert [replace(each, card=None) for each in before] == [past]


async def test_waiting_requests_come_oldest_first_until_they_expire(env: Stores) -> None:
    await asked(env)
    first = await env.store.create(a_waiting_request(created_at=NOON), RINA)
    second = await env.store.create(a_waiting_request(created_at=NOON + timedelta(minutes=1)), RINA)
    listed = [each.id for each in await env.history.awaiting()]
    env.clock.advance(3600)

    assert listed == [first.id, second.id]
    assert await env.history.awaiting() == []
