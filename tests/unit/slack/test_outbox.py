"""The outbox delivers what the ledger wrote, once, and notes what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bot.cancellation.errors import NotRecorded
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.cancellation.policy import Policy
from bot.cancellation.posts import Post, PostKind
from bot.slack.outbox.rate_limiter import BURST
from bot.slack.outbox.retry_write import PAUSES as NOTE_PAUSES
from bot.slack.outbox.worker import AT_ONCE, Outbox
from bot.timings import Timings
from tests.support.domain import RINA, Clock
from tests.unit.slack import samples
from tests.unit.slack.fake_posts import FakePosts
from tests.unit.slack.fake_slack import LINKS, FakeSlack

if TYPE_CHECKING:
    from collections.abc import Callable

TS = "1700000000.000100"


FAST = Timings(outbox_poll_interval=0.01)


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def posts() -> FakePosts:
    return FakePosts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(slack: FakeSlack, posts: FakePosts, clock: Clock) -> Outbox:
    return Outbox(
        posts, slack, "me", lambda _project: Policy(), LINKS, timings=FAST, sleep=clock.sleep
    )


def a_card(number: int = 1, **changes: Any) -> Post:
    about = samples.request(id=f"request-{number}", card=None, **changes)
    return samples.post(EventName.CREATED, about, kind=PostKind.CARD, id=number)


def a_reply(number: int = 2, **changes: Any) -> Post:
    about = samples.request(state=State.CANCELLED, **changes)
    return samples.post(EventName.CANCELLED, about, id=number)


def an_edit(number: int = 3) -> Post:
    return samples.post(EventName.CANCELLED, samples.request(), kind=PostKind.EDIT, id=number)


async def test_a_card_is_posted_with_its_id_and_its_metadata(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    post = a_card()
    await outbox.deliver(post)

    (call,) = slack.called("chat.postMessage")
    assert call["channel"] == "C0OPS"
    assert call["client_msg_id"] == post.client_msg_id
    assert call["metadata"]["event_payload"] == {"request": "request-1", "state": "approved"}
    assert call["text"]
    assert posts.sent == [(1, "C0OPS", TS)]


async def test_a_reply_goes_into_the_cards_thread(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    await outbox.deliver(a_reply())

    (call,) = slack.called("chat.postMessage")
    assert (call["channel"], call["thread_ts"]) == ("C0OPS", TS)
    assert posts.sent == [(2, "C0OPS", TS)]


async def test_an_edit_draws_the_card_where_it_stands(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    await outbox.deliver(an_edit())

    (call,) = slack.called("chat.update")
    assert (call["channel"], call["ts"]) == ("C0OPS", TS)
    assert slack.called("chat.postMessage") == []
    assert posts.sent == [(3, "C0OPS", TS)]


@pytest.mark.parametrize(
    "failure",
    [aiohttp.ServerDisconnectedError(), TimeoutError(), "internal_error", "fatal_error"],
)
async def test_an_unknown_outcome_is_tried_again_under_the_same_id(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts, failure: str | Exception
) -> None:
    slack.says("chat.postMessage", failure)
    await outbox.deliver(a_card())
    await outbox.deliver(a_card())

    ids = {call["client_msg_id"] for call in slack.called("chat.postMessage")}
    assert len(posts.again) == 1
    assert len(ids) == 1
    assert posts.sent == [(1, "C0OPS", TS)]


async def test_the_wait_that_slack_asks_for_is_kept(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts, clock: Clock
) -> None:
    script = slack.scripts["chat.postMessage"]
    script.headers, script.status = {"Retry-After": "2"}, 429
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(a_card(1))
    script.status = 200
    await outbox.deliver(a_card(2))

    assert 2.0 <= posts.again[0][1] <= 3.0
    assert clock.waits[-1] == pytest.approx(2.0, abs=0.5)
    assert [number for number, _, _ in posts.sent] == [2]


async def test_a_long_wait_gives_the_post_back_before_its_claim_runs_out(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    script = slack.scripts["chat.postMessage"]
    script.headers = {"Retry-After": "30"}
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(a_card(1))
    await outbox.deliver(a_card(2))

    assert len(slack.called("chat.postMessage")) == 1
    assert [number for number, _, _ in posts.again] == [1, 2]
    assert posts.again[1][1] == pytest.approx(30.0, abs=0.5)


async def test_an_edit_need_not_wait_for_a_channel_that_rests(
    outbox: Outbox, slack: FakeSlack, clock: Clock
) -> None:
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(a_card())
    await outbox.deliver(an_edit())

    assert set(clock.waits) == {0.0}


@pytest.mark.parametrize("code", ["channel_not_found", "not_in_channel", "is_archived"])
async def test_a_card_that_its_channel_does_not_take_moves_to_the_requester(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts, code: str
) -> None:
    slack.says("chat.postMessage", code)
    await outbox.deliver(a_card())

    ((number, channel, because),) = posts.moved
    assert (number, channel) == (1, RINA.id)
    assert code in because


async def test_a_reply_that_the_thread_does_not_take_goes_to_the_requester(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    slack.says("chat.postMessage", "restricted_action_thread_locked")
    await outbox.deliver(a_reply())

    first, second = slack.called("chat.postMessage")
    assert first["thread_ts"] == TS
    assert second["channel"] == RINA.id
    assert "thread_ts" not in second
    assert posts.sent == [(2, "C0OPS", TS)]


async def test_a_reply_that_nobody_takes_is_dropped_on_record(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    slack.says("chat.postMessage", "is_archived", "messages_tab_disabled")
    await outbox.deliver(a_reply())

    assert [number for number, _ in posts.dropped] == [2]


async def test_a_reply_whose_second_way_is_only_slow_is_tried_again(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    slack.says("chat.postMessage", "is_archived", TimeoutError())
    await outbox.deliver(a_reply())

    assert [number for number, _, _ in posts.again] == [2]


@pytest.mark.parametrize("code", ["message_not_found", "cant_update_message", "is_inactive"])
async def test_an_edit_of_what_is_gone_is_dropped_on_record(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts, code: str
) -> None:
    slack.says("chat.update", code)
    await outbox.deliver(an_edit())

    assert [number for number, _ in posts.dropped] == [3]


async def test_a_reply_that_slack_knows_already_counts_as_sent(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    slack.says("chat.postMessage", "duplicate_message_not_found")
    await outbox.deliver(a_reply())

    assert posts.sent == [(2, "C0OPS", "")]


async def test_a_card_that_slack_knows_and_will_not_show_is_posted_anew(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    """Without its place no thread and no edit could follow."""
    slack.says("chat.postMessage", "duplicate_channel_not_found")
    await outbox.deliver(a_card())

    assert "client_msg_id" not in slack.called("chat.postMessage")[1]
    assert posts.sent == [(1, "C0OPS", TS)]


async def test_without_a_card_there_is_nothing_to_edit(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    about = samples.request(card=None)
    await outbox.deliver(samples.post(EventName.CANCELLED, about, kind=PostKind.EDIT, id=3))

    assert [number for number, _ in posts.dropped] == [3]
    assert slack.calls == []


async def test_without_a_card_the_requester_is_told(outbox: Outbox, slack: FakeSlack) -> None:
    await outbox.deliver(a_reply(card=None))

    assert slack.called("chat.postMessage")[0]["channel"] == RINA.id


async def test_a_delivery_is_noted_even_when_the_ledger_needs_several_tries(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    posts.faults = [NotRecorded(), NotRecorded()]
    await outbox.deliver(a_card())

    assert len(slack.called("chat.postMessage")) == 1
    assert posts.sent == [(1, "C0OPS", TS)]


async def until(predicate: Callable[[], object]) -> None:
    """Let the outbox work until something shows."""
    for _ in range(2000):
        if predicate():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never showed")


async def running(outbox: Outbox) -> asyncio.Task[None]:
    return asyncio.create_task(outbox.run())


async def test_everything_due_is_delivered_in_order_and_then_it_stops(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    about = samples.request(card=None)
    kinds = (PostKind.CARD, PostKind.REPLY, PostKind.EDIT)
    posts.due = [
        samples.post(EventName.CANCELLED, about, kind=kind, id=number)
        for number, kind in enumerate(kinds, 1)
    ]
    task = await running(outbox)
    await outbox.stop(task, 2.0)

    assert [number for number, _, _ in posts.sent] == [1, 2, 3]
    assert slack.methods == ["chat.postMessage", "chat.postMessage", "chat.update"]


async def test_one_slow_request_does_not_hold_up_the_others(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    gate = slack.scripts["chat.postMessage"].gate = asyncio.Event()
    posts.due = [a_card(1), an_edit(2)]
    task = await running(outbox)
    await until(lambda: posts.sent)
    first = list(posts.sent)
    gate.set()
    await outbox.stop(task, 2.0)

    assert [number for number, _, _ in first] == [2]
    assert [number for number, _, _ in posts.sent] == [2, 1]


def in_a_channel_of_its_own(post: Post) -> Post:
    return replace(post, request=replace(post.request, channel=f"C0OPS{post.id}"))


async def test_after_a_burst_a_channel_gets_about_one_message_a_second(
    slack: FakeSlack, posts: FakePosts
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    hasty = Outbox(posts, slack, "me", lambda _project: None, LINKS, sleep=sleep)
    for number in range(1, BURST + 5):
        await hasty.deliver(a_card(number))

    assert [round(seconds) for seconds in slept] == [0] * BURST + [1, 2, 3]
    assert [(post_id, round(seconds)) for post_id, seconds, _ in posts.again] == [(BURST + 4, 4)]


async def test_no_more_posts_are_taken_than_are_under_way(
    outbox: Outbox, slack: FakeSlack, posts: FakePosts
) -> None:
    gate = slack.scripts["chat.postMessage"].gate = asyncio.Event()
    posts.due = [in_a_channel_of_its_own(a_card(n)) for n in range(1, AT_ONCE + 5)]
    task = await running(outbox)
    await until(lambda: len(slack.calls) == AT_ONCE)
    left = len(posts.due)
    gate.set()
    await outbox.stop(task, 2.0)

    assert left == 4
    assert len(posts.sent) == AT_ONCE + 4


@pytest.mark.parametrize("fault", [NotRecorded(), KeyError("what nobody foresaw")])
async def test_a_ledger_that_is_away_is_asked_again(
    outbox: Outbox, posts: FakePosts, fault: Exception
) -> None:
    posts.claim_faults = [fault, fault]
    posts.due = [a_card()]
    task = await running(outbox)
    await until(lambda: posts.sent)
    await outbox.stop(task, 2.0)

    assert posts.claims >= 3


async def test_waking_looks_at_once(slack: FakeSlack, posts: FakePosts) -> None:
    patient = Outbox(
        posts, slack, "me", lambda _project: None, LINKS, timings=Timings(outbox_poll_interval=60.0)
    )
    task = await running(patient)
    await asyncio.sleep(0)
    posts.due = [a_card()]
    patient.wake()
    await until(lambda: posts.sent)
    await patient.stop(task, 2.0)

    assert posts.sent == [(1, "C0OPS", TS)]


async def test_a_post_that_cannot_be_drawn_does_not_stop_the_others(
    slack: FakeSlack, posts: FakePosts
) -> None:
    def broken(project: str) -> Policy:
        raise RuntimeError(project)

    outbox = Outbox(posts, slack, "me", broken, LINKS, timings=FAST)
    posts.due = [a_card(1), a_reply(2)]
    task = await running(outbox)
    await outbox.stop(task, 2.0)

    assert [number for number, _, _ in posts.again] == [1]
    assert [number for number, _, _ in posts.sent] == [2]


async def test_when_nothing_can_be_noted_the_claim_runs_out_by_itself(
    slack: FakeSlack, posts: FakePosts, outbox: Outbox
) -> None:
    posts.faults = [NotRecorded()] * (len(NOTE_PAUSES) + 1)
    posts.due = [a_card()]
    task = await running(outbox)
    await outbox.stop(task, 2.0)

    assert posts.sent == []
    assert len(slack.called("chat.postMessage")) == 1


async def test_stopping_is_bounded(outbox: Outbox, slack: FakeSlack, posts: FakePosts) -> None:
    slack.scripts["chat.postMessage"].gate = asyncio.Event()
    posts.due = [a_card()]
    task = await running(outbox)
    await outbox.stop(task, 0.05)

    assert task.done()
    assert posts.sent == []
