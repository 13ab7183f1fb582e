"""Requests that acted alone: their events and messages, and their review, on both databases."""

import asyncio

import pytest

from bot.cancellation.errors import AlreadyReviewed, JobAlreadyRequested
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import ActingPerson
from bot.cancellation.posts import PostKind
from tests.integration.storage.conftest import Stores
from tests.support.domain import (
    ABE,
    ADA,
    PROJECT_ID,
    RINA,
    a_request,
    a_waiting_request,
    allow,
    keep_all,
)


async def act_alone(env: Stores, *recipients: str) -> Request:
    return await env.store.create(a_request(acted_alone=True), RINA, recipients)


async def act_alone_on(env: Stores, waiting: Request, person: ActingPerson) -> Request:
    alone = a_request(ref=waiting.ref, requester=person.id, acted_alone=True)
    return await env.store.create(alone, person)


@pytest.mark.parametrize("person", [ADA, RINA], ids=["another person", "the requester"])
async def test_acting_alone_ends_the_request_that_waits_and_tells_its_thread(
    env: Stores, person: ActingPerson
) -> None:
    waiting = a_waiting_request(2)
    await env.store.create(waiting, RINA)
    await env.store.approve(waiting.id, ABE, allow, keep_all)
    await deliver_all(env)

    alone = await act_alone_on(env, waiting, person)

    ended = await env.store.get(waiting.id)
    assert (ended.state, ended.outcome.by) == (State.OVER, person.id)
    assert f"acted alone, without approval: request {alone.id}" in ended.outcome.sentence
    (reply,) = [p for p in await env.claim_posts() if p.kind is PostKind.REPLY]
    assert (reply.event, reply.actor) == (EventName.OVER, person.id)
    assert (await env.jobs.known(waiting.ref)).request == alone
    assert await env.record.verify() == []


async def test_of_two_who_act_alone_at_once_one_replaces_the_request_that_waits(
    env: Stores,
) -> None:
    waiting = a_waiting_request()
    await env.store.create(waiting, RINA)

    results = await asyncio.gather(
        *(act_alone_on(env, waiting, person) for person in (ADA, ABE)), return_exceptions=True
    )

    (won,) = [each for each in results if isinstance(each, Request)]
    (lost,) = [each for each in results if isinstance(each, JobAlreadyRequested)]
    assert lost.request == won
    assert (await env.store.get(waiting.id)).outcome.by == won.requester
    assert (await env.history.counts())[0] == 1
    assert await env.record.verify() == []


async def test_acting_alone_does_not_replace_a_request_that_is_approved_or_runs(
    env: Stores,
) -> None:
    approved = a_request()
    await env.store.create(approved, RINA)
    with pytest.raises(JobAlreadyRequested):
        await act_alone_on(env, approved, ADA)

    await env.leases.claim(approved.id)
    with pytest.raises(JobAlreadyRequested):
        await act_alone_on(env, approved, ADA)
    assert (await env.store.get(approved.id)).state is State.CANCELLING


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
    assert (await env.history.counts())[1] == 0
    assert await env.record.verify() == []


async def test_history_names_the_reviewer_and_lists_unreviewed_requests(env: Stores) -> None:
    reviewed, waits = await act_alone(env), await act_alone(env)
    await env.store.review(reviewed.id, ADA, allow)

    past = [each.request for each in await env.history.recent(10, [PROJECT_ID])]

    assert {(each.id, each.acted_alone, each.reviewed_by) for each in past} == {
        (reviewed.id, True, ADA.id),
        (waits.id, True, None),
    }
    assert await env.history.unreviewed() == [waits]
