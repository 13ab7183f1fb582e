"""Notices to approvers: each once, with its posts; copies follow the request, on both databases."""

import asyncio
import json
from datetime import timedelta

from bot.cancellation.lifecycle import Card, Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.posts import Notice, PostKind, RequestPost
from bot.cancellation.starter import StartedBy, StarterStatus
from bot.storage.posts import COPY_DELAY
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import ABE, ADA, RINA, a_waiting_request, allow, keep_all

MINUTE = timedelta(minutes=1)
RECIPIENTS = tuple(
    Person(id=each.id, team=each.team, name=name)
    for each, name in ((ADA, "Ada <Lee>"), (ABE, "Abe"))
)
FIRST = Notice(is_first=True, reminder=0, escalates=False, next_at=NOON + MINUTE)
REMINDER = Notice(is_first=False, reminder=1, escalates=True, next_at=None)


async def ask(env: Stores) -> Request:
    """Create a request that waits, whose card is posted."""
    return await env.posted(a_waiting_request(next_notice_at=NOON))


async def give_notice(env: Stores, notice: Notice = FIRST) -> bool:
    (due,) = await env.notices.list_due()
    return await env.notices.record(due, notice, RECIPIENTS)


async def deliver_copies(env: Stores) -> None:
    for post in await env.claim_posts():
        await env.outbox.mark_sent(post, f"D-{post.recipient}", f"{post.id}.1")


def kinds(posts: list[RequestPost]) -> list[tuple[PostKind, str | None]]:
    return [(post.kind, post.recipient) for post in posts]


async def test_two_replicas_notify_the_approvers_once(env: Stores) -> None:
    request = await ask(env)
    (due,) = await env.notices.list_due()

    given = await asyncio.gather(*(env.notices.record(due, FIRST, RECIPIENTS) for _ in range(4)))

    assert sorted(given) == [False, False, False, True]
    assert kinds(await env.claim_posts()) == [(PostKind.COPY, ADA.id), (PostKind.COPY, ABE.id)]
    assert await env.events(request=request.id) == ["request:created", "request:notified"]
    assert await env.notices.list_due() == []


async def test_card_and_copies_whose_job_alone_changed_are_claimed_as_such(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    await deliver_copies(env)
    await env.jobs.record(request.ref, None, StartedBy(StarterStatus.NOT_IN_FEED))
    env.clock.advance(COPY_DELAY.total_seconds())

    edits = [post for post in await env.claim_posts() if post.is_edit]
    assert [(post.kind, post.only_facts) for post in edits] == [
        (PostKind.CARD, True),
        (PostKind.COPY, True),
        (PostKind.COPY, True),
    ]


async def test_reminder_is_recorded_with_its_reply_and_its_copies(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    await deliver_copies(env)
    await env.claim_posts()
    env.clock.advance(60)
    (due,) = await env.notices.list_due()

    assert await env.notices.record(due, REMINDER, RECIPIENTS[:1], escalated=RECIPIENTS[1:])

    replies = ["request:notified", "request:reminded", "request:escalated"]
    assert (await env.events(request=request.id))[1:] == replies
    assert [post.kind for post in await env.claim_posts() if post.is_edit] == [PostKind.CARD]
    env.clock.advance(60)
    assert await env.notices.list_due() == []
    assert await env.record.verify() == []


async def test_decided_or_expired_request_has_no_notice(env: Stores) -> None:
    denied = await ask(env)
    (due,) = await env.notices.list_due()
    await env.store.decide(denied.id, State.DENIED, ADA, allow, reason="no")
    expiring = a_waiting_request(next_notice_at=NOON, expires_at=NOON + MINUTE)
    await env.store.create(expiring, RINA)
    env.clock.advance(60)

    assert not await env.notices.record(due, FIRST, RECIPIENTS)
    assert await env.notices.list_due() == []


async def test_reply_names_the_recipients_after_the_last_copy(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    first, second = await env.claim_posts()

    await env.outbox.drop(second, "the person takes no direct messages")
    assert await env.claim_posts() == []
    await env.outbox.mark_sent(first, "D0ADA", "2.1")

    (reply,) = await env.claim_posts()
    assert (reply.kind, reply.event) == (PostKind.REPLY, "request:notified")
    assert reply.detail == {"names": ["Ada <Lee>"]}
    dropped = [line async for line in env.record.events(request=request.id)][-1]
    assert json.loads(dropped.detail)["recipient"] == ABE.id


async def test_two_concurrent_last_copies_make_one_reply(env: Stores) -> None:
    await ask(env)
    await give_notice(env)
    copies = await env.claim_posts()

    await asyncio.gather(*(env.outbox.mark_sent(copy, "D", f"{copy.id}.1") for copy in copies))

    assert kinds(await env.claim_posts()) == [(PostKind.REPLY, None)]


async def test_decided_request_edits_its_card_and_then_every_copy_in_its_place(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    await deliver_copies(env)
    (reached,) = await env.claim_posts()
    await env.outbox.mark_sent(reached, "C0OPS", "1.2")

    await env.store.decide(request.id, State.DENIED, ADA, allow, reason="still needed")

    reply, edit, *copies = await env.claim_posts()
    assert (reply.kind, edit.kind, edit.is_edit) == (PostKind.REPLY, PostKind.CARD, True)
    places = {copy.recipient: copy.place and copy.place.channel for copy in copies}
    assert places == {ADA.id: f"D-{ADA.id}", ABE.id: f"D-{ABE.id}"}


async def test_copy_that_was_not_sent_yet_needs_no_edit(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)

    await env.store.decide(request.id, State.DENIED, ADA, allow, reason="still needed")

    posts = await env.claim_posts()
    copies = [post for post in posts if post.recipient]
    assert kinds(copies) == [(PostKind.COPY, ADA.id), (PostKind.COPY, ABE.id)]
    for copy in copies:
        await env.outbox.drop(copy)
    assert await env.claim_posts() == []


async def test_copy_in_delivery_is_edited_once_it_has_a_place(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    ada, abe = await env.claim_posts()
    await env.store.decide(request.id, State.DENIED, ADA, allow, reason="still needed")
    assert [post.recipient for post in await env.claim_posts()] == [None, None]

    await env.outbox.mark_sent(ada, "D0ADA", "2.1")
    await env.outbox.drop(abe, "the person takes no direct messages")

    (edit,) = await env.claim_posts()
    assert (edit.recipient, edit.place) == (ADA.id, Card(channel="D0ADA", ts="2.1"))


async def test_copies_wait_a_moment_for_the_end_of_a_quick_run(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    await deliver_copies(env)
    await env.store.approve(request.id, ADA, allow, keep_all)
    assert all(post.recipient is None for post in await env.claim_posts())
    await env.end_run(request)

    edits = [post for post in await env.claim_posts() if post.recipient]

    assert len(edits) == 2
    for edit in edits:
        await env.outbox.mark_sent(edit, "", "")
    env.clock.advance(COPY_DELAY.total_seconds() + 1)
    assert [post for post in await env.claim_posts() if post.recipient] == []


async def test_request_that_waits_again_notifies_its_approvers_again(env: Stores) -> None:
    request = await ask(env)
    await give_notice(env)
    await env.store.approve(request.id, ADA, allow, keep_all)
    claimed = await env.claim_run(request)
    assert await env.notices.list_due() == []

    await env.leases.settle(claimed, State.AWAITING, Outcome())

    (due,) = await env.notices.list_due()
    assert due.next_notice_at == due.changed_at
