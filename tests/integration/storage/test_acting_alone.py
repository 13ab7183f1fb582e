"""Requests that acted alone: their events and messages, and their review, on both databases."""

import asyncio

import pytest

from bot.cancellation.errors import AlreadyReviewed, NothingToReview
from bot.cancellation.lifecycle import Request
from bot.cancellation.posts import PostKind
from bot.storage.history import History
from tests.integration.storage.conftest import Stores
from tests.support.domain import ABE, ADA, PROJECT_ID, RINA, a_request, allow


async def act_alone(env: Stores, *recipients: str) -> Request:
    return await env.store.create(a_request(acted_alone=True), RINA, recipients)


async def deliver_all(env: Stores) -> None:
    while posts := await env.claim_posts():
        for post in posts:
            await env.outbox.mark_sent(post, "C0OPS", "1.1")


async def test_acting_alone_is_recorded_before_the_approval_that_it_replaces(env: Stores) -> None:
    request = await act_alone(env)

    lines = [line async for line in env.record.events(request=request.id)]
    names = [line.event for line in lines]
    assert names == ["request:created", "request:acted_alone", "request:approved"]
    assert lines[1].actor == RINA.id
    assert (await env.store.get(request.id)).unreviewed


async def test_each_recipient_gets_a_message_of_its_own_after_the_card(env: Stores) -> None:
    await act_alone(env, ADA.id, ABE.id)
    (card,) = await env.claim_posts()
    await env.outbox.mark_sent(card, "C0OPS", "1.1")

    posts = await env.claim_posts()

    assert [(post.kind, post.recipient) for post in posts] == [
        (PostKind.REPLY, None),
        (PostKind.DIRECT, ADA.id),
        (PostKind.DIRECT, ABE.id),
    ]
    assert len({post.client_msg_id for post in posts}) == 3


async def test_of_two_concurrent_reviews_one_counts_and_the_other_names_it(env: Stores) -> None:
    request = await act_alone(env)

    results = await asyncio.gather(
        *(env.store.review(request.id, person, allow) for person in (ADA, ABE)),
        return_exceptions=True,
    )

    (won,) = [each for each in results if isinstance(each, Request)]
    (lost,) = [each for each in results if isinstance(each, AlreadyReviewed)]
    assert lost.request.reviewed_by == won.reviewed_by
    reviews = [line.actor async for line in env.record.events(event="request:reviewed")]
    assert reviews == [won.reviewed_by]
    assert (await env.store.counts())[1] == 0
    assert await env.record.verify() == []


async def test_refused_review_changes_nothing(env: Stores) -> None:
    request = await act_alone(env)

    with pytest.raises(NothingToReview):
        await env.store.review(request.id, ADA, lambda _request: NothingToReview())

    assert await env.store.get(request.id) == request
    assert (await env.store.counts())[1] == 1


async def test_history_names_the_reviewer_and_lists_unreviewed_requests(env: Stores) -> None:
    history = History(env.database, env.clock)
    reviewed, waits = await act_alone(env), await act_alone(env)
    await env.store.review(reviewed.id, ADA, allow)

    past = [each.request for each in await history.recent(10, [PROJECT_ID])]

    assert {(each.id, each.acted_alone, each.reviewed_by) for each in past} == {
        (reviewed.id, True, ADA.id),
        (waits.id, True, None),
    }
    assert await history.unreviewed() == [waits]
