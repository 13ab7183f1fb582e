"""Past and waiting requests, read from a real database."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from bot.cancellation.job import USUAL_WAIT
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import ActingPerson
from bot.cancellation.posts import Lead, PostKind
from bot.storage.history import RETENTION
from bot.storage.tables import posts
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import (
    ABE,
    PROJECT_ID,
    RINA,
    a_request,
    a_waiting_request,
    allow,
    job_ref,
    new_job_id,
)

OTHER = "5b6212af90dc76637950a2c7"


async def asked(env: Stores, person: ActingPerson = RINA, **changes: object) -> Request:
    env.clock.advance(1)
    made = a_request(created_at=env.clock(), changed_at=env.clock(), **changes)
    return await env.store.create(made, person)


async def test_recent_requests_come_newest_first_with_their_outcome(env: Stores) -> None:
    first = await asked(env)
    second = await asked(env, state=State.AWAITING, approvals_needed=1)
    await env.store.decide(second.id, State.DENIED, ABE, allow, reason="no")
    past = await env.history.recent(10, [PROJECT_ID])

    assert [each.request for each in past] == [
        await env.store.get(second.id),
        await env.store.get(first.id),
    ]
    assert past[0].request.people == {RINA.id, ABE.id}


async def test_recent_requests_are_limited(env: Stores) -> None:
    made = [await asked(env) for _ in range(5)]
    past = await env.history.recent(3, [PROJECT_ID])

    assert [each.request for each in past] == made[:1:-1]


async def test_requests_of_other_projects_are_excluded(env: Stores) -> None:
    kept = await asked(env)
    for _ in range(12):
        elsewhere = replace(job_ref(new_job_id()), project_id=OTHER)
        await env.store.create(a_request(ref=elsewhere), RINA)
    past = await env.history.recent(1, [PROJECT_ID])

    assert [each.request for each in past] == [kept]


async def test_waiting_requests_come_oldest_first_until_they_expire(env: Stores) -> None:
    await asked(env)
    first = await env.store.create(a_waiting_request(created_at=NOON), RINA)
    second = await env.store.create(a_waiting_request(created_at=NOON + timedelta(minutes=1)), RINA)
    listed = [each.id for each in await env.history.in_states(State.AWAITING)]
    env.clock.advance(3600)

    assert listed == [first.id, second.id]
    assert await env.history.in_states(State.AWAITING) == []


async def test_lead_of_a_cancellation_counts_to_the_expected_link(env: Stores) -> None:
    cancelled = await env.end_run(await asked(env))
    (past,) = await env.history.recent(1, [PROJECT_ID])

    expected = cancelled.ref.started_at + USUAL_WAIT
    assert past.lead == Lead(expected - cancelled.changed_at, was_live=False)


async def test_old_posts_of_ended_requests_are_deleted_and_their_cards_and_those_of_others_stay(
    env: Stores,
) -> None:
    ended, waits = await asked(env), await asked(env, state=State.AWAITING, approvals_needed=1)
    alone = await env.end_run(await asked(env, acted_alone=True))
    unsent = await asked(env, state=State.AWAITING, approvals_needed=1)
    await deliver_all(env, but=unsent.id)
    await env.end_run(ended)
    await deliver_all(env, but=unsent.id)
    await env.store.decide(unsent.id, State.DENIED, ABE, allow, reason="no")
    env.clock.advance(RETENTION.total_seconds() + 1)

    await env.history.delete_posts()

    of, kind = posts.c.request, posts.c.kind
    rows = await env.database.read(lambda db: db.execute(select(of, kind)).all())
    assert [kind for request, kind in rows if request == ended.id] == [PostKind.CARD]
    assert {request for request, _ in rows} == {ended.id, waits.id, alone.id, unsent.id}


async def deliver_all(env: Stores, but: str) -> None:
    while due := [post for post in await env.claim_posts() if post.request.id != but]:
        for post in due:
            await env.outbox.mark_sent(post, "C0OPS", "1.1")
