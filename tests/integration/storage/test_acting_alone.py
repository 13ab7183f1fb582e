"""Requests that acted alone: their events and messages, and their review, on both databases."""

import asyncio
from datetime import timedelta

import pytest

from bot.cancellation.errors import AlreadyReviewed, NothingToReview
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.posts import PostKind, RequestPost
from bot.storage.audit_log import AuditLog, History
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from tests.support.domain import ABE, ADA, PROJECT_ID, RINA, Clock, a_request


def anybody(_request: Request) -> None:
    return None


async def act_alone(ledger: RequestStore, *recipients: str) -> Request:
    return await ledger.create(a_request(acted_alone=True), RINA, recipients)


async def claim(outbox: OutboxStore) -> list[RequestPost]:
    return [
        post for post in await outbox.claim("one", 10, direct=10) if isinstance(post, RequestPost)
    ]


async def deliver_all(outbox: OutboxStore) -> None:
    while posts := await claim(outbox):
        for post in posts:
            await outbox.mark_sent(post, "C0OPS", "1.1")


async def test_acting_alone_is_recorded_before_the_approval_that_it_replaces(
    ledger: RequestStore, record: AuditLog
) -> None:
    request = await act_alone(ledger)

    lines = [line async for line in record.events(request=request.id)]
    names = [line.event for line in lines]
    assert names == ["request:created", "request:acted_alone", "request:approved"]
    assert lines[1].actor == RINA.id
    assert (await ledger.get(request.id)).unreviewed


async def test_each_recipient_gets_a_message_of_its_own_after_the_card(
    ledger: RequestStore, outbox: OutboxStore
) -> None:
    await act_alone(ledger, ADA.id, ABE.id)
    (card,) = await claim(outbox)
    await outbox.mark_sent(card, "C0OPS", "1.1")

    posts = await claim(outbox)

    assert [(post.kind, post.recipient) for post in posts] == [
        (PostKind.REPLY, None),
        (PostKind.DIRECT, ADA.id),
        (PostKind.DIRECT, ABE.id),
    ]
    assert len({post.client_msg_id for post in posts}) == 3


async def test_of_two_reviews_at_once_one_counts_and_the_other_names_it(
    ledger: RequestStore, record: AuditLog
) -> None:
    request = await act_alone(ledger)

    results = await asyncio.gather(
        *(ledger.review(request.id, person, anybody) for person in (ADA, ABE)),
        return_exceptions=True,
    )

    (won,) = [each for each in results if isinstance(each, Request)]
    (lost,) = [each for each in results if isinstance(each, AlreadyReviewed)]
    assert lost.request.reviewed_by == won.reviewed_by
    reviews = [line.actor async for line in record.events(event="request:reviewed")]
    assert reviews == [won.reviewed_by]
    assert (await ledger.counts())[1] == 0
    assert await record.verify() == []


async def test_refused_review_changes_nothing(ledger: RequestStore) -> None:
    request = await act_alone(ledger)

    with pytest.raises(NothingToReview):
        await ledger.review(request.id, ADA, lambda _request: NothingToReview())

    assert await ledger.get(request.id) == request
    assert (await ledger.counts())[1] == 1


async def test_unreviewed_request_is_not_pruned_and_a_reviewed_one_is(
    ledger: RequestStore,
    leases: LeaseStore,
    outbox: OutboxStore,
    record: AuditLog,
    clock: Clock,
) -> None:
    request = await act_alone(ledger)
    claimed = await leases.claim(request.id)
    assert claimed
    await leases.settle(claimed, State.CANCELLED, Outcome())
    clock.forward(1)
    await deliver_all(outbox)

    assert await ledger.prune(clock() + timedelta(days=1)) == 0
    await ledger.review(request.id, ADA, anybody)
    await deliver_all(outbox)
    assert await ledger.prune(clock() + timedelta(days=1)) == 1
    assert await record.verify() == []


async def test_history_tells_who_reviewed_and_lists_what_is_unreviewed(
    ledger: RequestStore, database: Database, clock: Clock
) -> None:
    history = History(database, clock)
    reviewed, waits = await act_alone(ledger), await act_alone(ledger)
    await ledger.review(reviewed.id, ADA, anybody)

    past = {each.request: each for each in await history.recent(10, [PROJECT_ID])}

    assert (past[reviewed.id].acted_alone, past[reviewed.id].reviewed_by) == (True, ADA.id)
    assert (past[waits.id].acted_alone, past[waits.id].reviewed_by) == (True, None)
    assert await history.unreviewed() == [waits]
