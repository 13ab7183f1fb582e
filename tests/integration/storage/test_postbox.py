"""What is to be posted, in which order, and what becomes of it; on both databases."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot.cancellation.lifecycle import Card, Outcome, State
from bot.cancellation.posts import PostKind
from bot.storage.outbox_store import LEASE
from bot.storage.queries import outbox as outbox_queries
from tests.support.domain import ADA, RINA, Clock, a_request, a_waiting_request
from tests.support.pauses import pause

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bot.cancellation.posts import Post
    from bot.storage.audit_log import AuditLog
    from bot.storage.database import Database
    from bot.storage.lease_store import LeaseStore
    from bot.storage.outbox_store import OutboxStore
    from bot.storage.request_store import RequestStore


async def claim(postbox: OutboxStore) -> list[Post]:
    return list(await postbox.claim_posts("replica-1", 10))


async def kinds(postbox: OutboxStore) -> list[tuple[PostKind, str]]:
    return [(post.kind, str(post.event)) for post in await claim(postbox)]


async def post_card(ledger: RequestStore, postbox: OutboxStore) -> Post:
    await ledger.create(a_waiting_request(approvals=2), RINA)
    (card,) = await claim(postbox)
    await postbox.post_sent(card, "C0OPS", "1.1")
    return card


async def test_a_new_request_has_a_card_to_post_and_nothing_else(
    ledger: RequestStore, postbox: OutboxStore
) -> None:
    await ledger.create(a_request(), RINA)

    assert await kinds(postbox) == [(PostKind.CARD, "request:created")]


async def test_a_post_is_claimed_by_one_replica(ledger: RequestStore, postbox: OutboxStore) -> None:
    await ledger.create(a_request(), RINA)

    claims = await asyncio.gather(*(postbox.claim_posts(f"replica-{n}", 10) for n in range(5)))

    assert sum(len(each) for each in claims) == 1


async def test_everything_waits_for_the_card(ledger: RequestStore, postbox: OutboxStore) -> None:
    request = await ledger.create(a_waiting_request(approvals=2), RINA)
    (card,) = await claim(postbox)
    await ledger.approve(request.id, ADA, lambda _request: None)
    assert await claim(postbox) == []

    await postbox.post_sent(card, "C0OPS", "1.1")

    assert await kinds(postbox) == [
        (PostKind.REPLY, "request:approval_given"),
        (PostKind.EDIT, "request:approval_given"),
    ]


async def test_the_cards_place_becomes_the_requests(
    ledger: RequestStore, postbox: OutboxStore
) -> None:
    card = await post_card(ledger, postbox)

    assert (await ledger.get(card.request.id)).card == Card(channel="C0OPS", ts="1.1")


async def test_a_post_renders_the_request_as_it_is_when_claimed(
    ledger: RequestStore, postbox: OutboxStore
) -> None:
    request = await ledger.create(a_waiting_request(), RINA)
    await ledger.approve(request.id, ADA, lambda _request: None)

    (card,) = await claim(postbox)

    assert card.request.state is State.APPROVED


async def test_drawings_that_nobody_has_begun_are_one_drawing(
    ledger: RequestStore, leases: LeaseStore, postbox: OutboxStore
) -> None:
    request = await ledger.create(a_request(), RINA)
    (card,) = await claim(postbox)
    claimed = await leases.claim(request.id)
    assert claimed
    await leases.settle(claimed, State.CANCELLED, Outcome())
    await postbox.post_sent(card, "C0OPS", "1.1")

    assert sorted(await kinds(postbox)) == [
        (PostKind.EDIT, "request:cancelling"),
        (PostKind.REPLY, "request:cancelled"),
    ]


async def test_a_card_whose_answer_was_lost_is_drawn_anew_after_what_happened_since(
    ledger: RequestStore, leases: LeaseStore, postbox: OutboxStore, clock: Clock
) -> None:
    """Slack may have the first drawing, and takes the repetition for the same message."""
    request = await ledger.create(a_request(), RINA)
    (card,) = await claim(postbox)
    await postbox.post_again(card, 1, "no answer")
    claimed = await leases.claim(request.id)
    assert claimed
    await leases.settle(claimed, State.CANCELLED, Outcome())
    clock.forward(1)
    (again,) = await claim(postbox)
    await postbox.post_sent(again, "C0OPS", "1.1")

    assert sorted(await kinds(postbox)) == [
        (PostKind.EDIT, "request:cancelling"),
        (PostKind.REPLY, "request:cancelled"),
    ]


async def test_a_quick_run_needs_no_drawing_of_its_own(
    ledger: RequestStore, leases: LeaseStore, postbox: OutboxStore, clock: Clock
) -> None:
    request = await ledger.create(a_request(), RINA)
    (card,) = await claim(postbox)
    await postbox.post_sent(card, "C0OPS", "1.1")
    await leases.claim(request.id)

    assert await claim(postbox) == []
    clock.forward(1)
    assert await kinds(postbox) == [(PostKind.EDIT, "request:cancelling")]


async def test_a_post_of_a_dead_replica_is_repeated_with_the_same_id(
    ledger: RequestStore, postbox: OutboxStore, clock: Clock
) -> None:
    await ledger.create(a_request(), RINA)
    (first,) = await claim(postbox)
    assert await claim(postbox) == []
    clock.forward(LEASE.total_seconds())

    (second,) = await claim(postbox)

    assert (second.client_msg_id, second.attempts) == (first.client_msg_id, 2)


async def test_a_post_put_back_waits_as_long_as_slack_wants(
    ledger: RequestStore, postbox: OutboxStore, clock: Clock
) -> None:
    await ledger.create(a_request(), RINA)
    (post,) = await claim(postbox)

    await postbox.post_again(post, 7, "ratelimited")

    clock.forward(6.9)
    assert await claim(postbox) == []
    clock.forward(0.2)
    assert len(await claim(postbox)) == 1


async def test_a_dropped_post_is_on_record_and_holds_nothing_up(
    ledger: RequestStore, postbox: OutboxStore, record: AuditLog
) -> None:
    card = await post_card(ledger, postbox)
    await ledger.approve(card.request.id, ADA, lambda _request: None)
    reply, edit = await claim(postbox)

    await postbox.post_dropped(edit, "message_not_found")
    await postbox.post_sent(reply, "C0OPS", "1.2")

    assert await claim(postbox) == []
    last = [line async for line in record.events()][-1]
    assert (last.event, last.detail) == (
        "slack:post_dropped",
        '{"error":"message_not_found","post":"edit:request:approval_given"}',
    )


async def test_a_moved_card_is_due_at_once_in_its_new_place(
    ledger: RequestStore, postbox: OutboxStore, record: AuditLog
) -> None:
    await ledger.create(a_request(), RINA)
    (card,) = await claim(postbox)

    await postbox.move_card(card, RINA.id, "not_in_channel")

    (again,) = await claim(postbox)
    assert (again.request.channel, again.request.moved_because) == (RINA.id, "not_in_channel")
    assert [line.event async for line in record.events()][-1] == "slack:card_moved"


async def test_an_end_that_comes_while_a_drawing_is_being_claimed_is_drawn_too(
    ledger: RequestStore, leases: LeaseStore, postbox: OutboxStore, database: Database, clock: Clock
) -> None:
    """The drawing was read as the row was before: only another one can show the end."""
    request = await ledger.create(a_request(), RINA)
    (card,) = await claim(postbox)
    await postbox.post_sent(card, "C0OPS", "1.1")
    running = await leases.claim(request.id)
    assert running
    clock.forward(5)  # a slow run: its drawing is due
    claimed, loop = asyncio.Event(), asyncio.get_running_loop()

    def slowly(db: Connection) -> None:
        bounds = outbox_queries.bounds(clock(), 1)
        due = list(db.execute(outbox_queries.lock_due_posts(), bounds).scalars())
        mine = outbox_queries.claim(due, "replica-1", clock() + LEASE)
        db.execute(outbox_queries.claim_posts(), mine)
        loop.call_soon_threadsafe(claimed.set)
        pause(db, 0.4)

    claiming = asyncio.create_task(database.write(slowly))
    await claimed.wait()
    await leases.settle(running, State.CANCELLED, Outcome())
    await claiming
    clock.forward(LEASE.total_seconds())  # the one that claimed has drawn the old state, and died

    drawn = [post for post in await drained(postbox) if post.kind is PostKind.EDIT]

    assert [post.request.state for post in drawn] == [State.CANCELLED, State.CANCELLED]


async def drained(postbox: OutboxStore) -> list[Post]:
    """Deliver whatever is due, and return it."""
    delivered = []
    while posts := await claim(postbox):
        for post in posts:
            await postbox.post_sent(post, "C0OPS", "1.2")
            delivered.append(post)
    return delivered
