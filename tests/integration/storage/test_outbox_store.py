"""The outbox store: order of posts, claims, and results, on both databases."""

import asyncio
import time

import psycopg
import pytest

from bot.cancellation.lifecycle import Card, Outcome, State
from bot.cancellation.posts import PostKind, RequestPost
from bot.storage.outbox_store import LATE_EDIT, LEASE, OutboxStore
from bot.storage.unit_of_work import UnitOfWork
from tests.integration.storage.conftest import Stores
from tests.support.domain import ADA, RINA, a_request, a_waiting_request, allow, keep_all


async def kinds(env: Stores) -> list[tuple[PostKind, str]]:
    return [(post.kind, str(post.event)) for post in await env.claim_posts()]


async def test_commit_that_writes_messages_wakes_the_outbox_but_not_its_own_commits(
    env: Stores,
) -> None:
    woken: list[str] = []
    env.database.on_messages = lambda: woken.append("created")
    request = await env.store.create(a_request(), RINA)
    env.database.on_messages = lambda: woken.append("later")
    (card,) = await env.claim_posts()
    await env.outbox.mark_sent(card, "C0OPS", "1.1")
    await env.leases.renew(request.id)

    assert woken == ["created"]


async def test_post_is_claimed_by_one_replica(env: Stores) -> None:
    await env.store.create(a_request(), RINA)

    claims = await asyncio.gather(*(env.outbox.claim(f"replica-{n}", 10) for n in range(5)))

    assert sum(len(each) for each in claims) == 1


async def test_owner_whose_claim_was_lost_claims_its_posts_again_immediately(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    await env.store.create(a_request(), RINA)
    delivering, lost = await env.outbox.claim("replica-1", 10)
    assert await env.outbox.claim("replica-2", 10) == []

    again = await env.outbox.claim("replica-1", 10, held=[delivering.id])

    assert [post.id for post in again] == [lost.id]


async def test_claim_of_a_post_that_is_being_delivered_is_renewed(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    (delivering,) = await env.outbox.claim("replica-1", 10)
    env.clock.advance(LEASE.total_seconds() - 1)

    assert await env.outbox.claim("replica-1", 0, held=[delivering.id]) == []

    env.clock.advance(LEASE.total_seconds() - 1)
    assert await env.outbox.claim("replica-2", 10) == []
    env.clock.advance(1)
    assert len(await env.outbox.claim("replica-2", 10)) == 1


@pytest.mark.databases("postgresql")
async def test_claim_does_not_wait_for_a_post_that_another_session_has_locked(
    env: Stores, database_url: str
) -> None:
    await env.store.create(a_request(), RINA)
    (delivering,) = await env.outbox.claim("replica-1", 10)
    with psycopg.connect(database_url) as session:
        session.execute("SELECT id FROM posts FOR UPDATE")
        async with asyncio.timeout(3):
            assert await env.outbox.claim("replica-1", 10, held=[delivering.id]) == []


async def test_posts_of_a_request_wait_for_its_card(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(approvals=2), RINA)
    (card,) = await env.claim_posts()
    await env.store.approve(request.id, ADA, allow, keep_all)
    assert await env.claim_posts() == []

    await env.outbox.mark_sent(card, "C0OPS", "1.1")

    assert await kinds(env) == [
        (PostKind.REPLY, "request:approval_given"),
        (PostKind.CARD, "request:created"),
    ]


async def test_post_has_the_request_as_it_is_when_claimed(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(), RINA)
    await env.store.approve(request.id, ADA, allow, keep_all)

    (card,) = await env.claim_posts()

    assert card.request.state is State.APPROVED


@pytest.mark.parametrize("is_lost", [False, True])
async def test_changes_during_a_delivery_are_one_edit_also_after_a_lost_answer(
    env: Stores, *, is_lost: bool
) -> None:
    """Slack may have the first attempt, and takes the repetition for the same message."""
    request = await env.store.create(a_request(), RINA)
    (card,) = await env.claim_posts()
    if is_lost:
        await env.outbox.retry_later(card, 1, "no answer")
    await env.end_run(request)
    env.clock.advance(1)
    (card,) = await env.claim_posts() if is_lost else (card,)
    await env.outbox.mark_sent(card, "C0OPS", "1.1")

    assert sorted(await kinds(env)) == [
        (PostKind.CARD, "request:created"),
        (PostKind.REPLY, "request:cancelled"),
    ]


async def test_start_of_a_run_updates_the_card_a_moment_later(env: Stores) -> None:
    request = await env.posted(a_request())
    await env.leases.claim(request.id)

    assert await env.claim_posts() == []
    env.clock.advance(1)
    (edit,) = await env.claim_posts()
    assert (edit.place, edit.request.state) == (Card(channel="C0OPS", ts="1.1"), State.CANCELLING)


async def test_post_of_a_dead_replica_is_repeated_with_the_same_id(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    (first,) = await env.claim_posts()
    assert await env.claim_posts() == []
    env.clock.advance(LEASE.total_seconds())

    (second,) = await env.claim_posts()

    assert (second.client_msg_id, second.attempts) == (first.client_msg_id, 2)


async def test_dropped_post_is_audited_and_blocks_no_other(env: Stores) -> None:
    request = await env.posted(a_waiting_request(approvals=2))
    await env.store.approve(request.id, ADA, allow, keep_all)
    reply, edit = await env.claim_posts()

    await env.outbox.drop(edit, "message_not_found")
    await env.outbox.mark_sent(reply, "C0OPS", "1.2")

    assert await env.claim_posts() == []
    last = [line async for line in env.record.events()][-1]
    assert (last.event, last.detail) == (
        "slack:post_dropped",
        '{"error":"message_not_found","post":"edit:card"}',
    )


async def test_card_that_changed_before_it_was_dropped_is_not_due(env: Stores) -> None:
    request = await env.store.create(a_waiting_request(), RINA)
    (card,) = await env.claim_posts()
    await env.store.decide(request.id, State.DENIED, ADA, allow, reason="still needed")
    await env.outbox.drop(card, "is_archived")

    assert [post.kind for post in await env.claim_posts()] == [PostKind.REPLY]


async def test_moved_card_is_due_immediately_in_its_new_channel(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    (card,) = await env.claim_posts()

    await env.outbox.move_card(card, RINA.id, "not_in_channel")
    # A read that began before the move takes it for one that is being delivered.
    assert await env.outbox.claim("replica-1", 0, held=[card.id]) == []

    (again,) = await env.claim_posts()
    assert (again.request.channel, again.request.moved_because) == (RINA.id, "not_in_channel")
    assert (await env.events())[-1] == "slack:card_moved"


async def test_outcome_and_last_edit_precede_the_cards_of_other_requests(env: Stores) -> None:
    request = await env.posted(a_request())
    running = await env.claim_run(request)
    await env.store.create(a_request(), RINA)
    await env.leases.settle(running, State.CANCELLED, Outcome())

    posts = [(post.kind, post.is_edit) for post in await env.claim_posts()]
    assert posts == [(PostKind.REPLY, False), (PostKind.CARD, True), (PostKind.CARD, False)]


async def test_postponed_edit_is_no_attempt_and_is_due_when_the_request_ends(env: Stores) -> None:
    request = await env.posted(a_waiting_request(approvals=2))
    await env.store.approve(request.id, ADA, allow, keep_all)
    reply, edit = await env.claim_posts()
    await env.outbox.mark_sent(reply, "C0OPS", "1.2")
    await env.outbox.retry_later(edit, 50)
    await env.store.decide(request.id, State.WITHDRAWN, RINA, allow)

    outcome, again = await env.claim_posts()
    assert (again.id, again.attempts, again.request.state) == (edit.id, 1, State.WITHDRAWN)
    assert outcome.kind is PostKind.REPLY


async def test_edit_that_was_tried_before_is_sent_again_as_slack_may_carry_out_a_try_late(
    env: Stores,
) -> None:
    request = await env.posted(a_waiting_request(approvals=2))
    await env.store.approve(request.id, ADA, allow, keep_all)
    reply, edit = await env.claim_posts()
    await env.outbox.mark_sent(reply, "C0OPS", "1.2")
    await env.outbox.retry_later(edit, 1, "Slack did not answer.")
    env.clock.advance(1)
    await drained(env)

    assert await env.claim_posts() == []
    env.clock.advance(LATE_EDIT.total_seconds())
    assert [post.id for post in await drained(env)] == [edit.id]
    env.clock.advance(LATE_EDIT.total_seconds())
    assert await env.claim_posts() == []


async def test_outcome_during_the_claim_of_a_card_update_enqueues_another(env: Stores) -> None:
    """The claimed update has the request as it was before."""
    request = await env.posted(a_request())
    running = await env.claim_run(request)
    env.clock.advance(5)  # a slow run: its card update is due
    claimed, loop = asyncio.Event(), asyncio.get_running_loop()

    def slowly(_uow: UnitOfWork) -> None:
        loop.call_soon_threadsafe(claimed.set)
        time.sleep(0.4)  # in the thread of the transaction

    slow = OutboxStore(env.database, env.clock, fence=slowly)
    claiming = asyncio.create_task(slow.claim("replica-1", 1))
    await claimed.wait()
    await env.leases.settle(running, State.CANCELLED, Outcome())
    await claiming
    env.clock.advance(LEASE.total_seconds())  # of a killed replica that had shown the old state

    drawn = [post for post in await drained(env) if post.is_edit]

    assert [post.request.state for post in drawn] == [State.CANCELLED]


async def drained(env: Stores) -> list[RequestPost]:
    """Deliver all due posts, and return them."""
    delivered = []
    while posts := await env.claim_posts():
        for post in posts:
            await env.outbox.mark_sent(post, "C0OPS", "1.2")
            delivered.append(post)
    return delivered


async def test_place_of_the_card_is_stored_with_the_request(env: Stores) -> None:
    request = await env.posted(a_waiting_request(approvals=2))

    assert (await env.store.get(request.id)).card == Card(channel="C0OPS", ts="1.1")


async def test_post_to_retry_waits_for_the_delay(env: Stores) -> None:
    await env.store.create(a_request(), RINA)
    (post,) = await env.claim_posts()

    await env.outbox.retry_later(post, 7, "ratelimited")

    env.clock.advance(6.9)
    assert await env.claim_posts() == []
    env.clock.advance(0.2)
    assert len(await env.claim_posts()) == 1
