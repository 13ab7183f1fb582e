"""The worker delivers each post once and records the result."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bot.atlas import JobRef
from bot.cancellation.errors import NotRecorded
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Card, State
from bot.cancellation.policy import Policy
from bot.cancellation.posts import PostKind, RequestPost
from bot.cancellation.watched_job import WatchedState
from bot.services.projects import Project, Projects
from bot.slack.outbox.delivery import MAX_BACKOFF, REFUSED_ANNOUNCEMENT_BACKOFF
from bot.slack.outbox.messages import MessageBuilder
from bot.slack.outbox.rate_limits import (
    ANNOUNCEMENT_BURST,
    COPY_EDITS,
    EDITS,
    FINAL_COPY_EDITS,
    FINAL_EDITS,
    POST_BURST,
)
from bot.slack.outbox.worker import MAX_CONCURRENT_POSTS, RECORD_BACKOFFS, Outbox
from bot.timings import Timings
from tests.support.clock import FakeClock
from tests.support.domain import JOB_ID, PROJECT_ID, RINA
from tests.support.fake_atlas import FakeAtlas
from tests.support.service import CLUSTER
from tests.unit.slack import samples
from tests.unit.slack.fake_outbox_store import FakeOutboxStore
from tests.unit.slack.fake_slack import LINKS, FakeSlack

TS = "1700000000.000100"
WATCH = "C0WATCH"
HERE = Card(channel=WATCH, ts=TS)


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def store() -> FakeOutboxStore:
    return FakeOutboxStore()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outbox(slack: FakeSlack, store: FakeOutboxStore, clock: FakeClock) -> Outbox:
    return an_outbox(slack, store, sleep=clock.sleep)


def an_outbox(
    slack: FakeSlack,
    store: FakeOutboxStore,
    poll_interval: float = 0.01,
    projects: Projects | None = None,
    **others: Any,
) -> Outbox:
    shop = Project(
        id=PROJECT_ID, name="shop-prod", policy=Policy(), atlas=FakeAtlas({}), watch_channel=WATCH
    )
    messages = MessageBuilder(LINKS, projects or Projects([shop]))
    timings = Timings(outbox_poll_interval=poll_interval)
    return Outbox(store, slack, "me", messages, timings=timings, **others)


def a_card(number: int = 1, **changes: Any) -> RequestPost:
    about = samples.request(id=f"request-{number}", card=None, **changes)
    return samples.post(EventName.CREATED, about, kind=PostKind.CARD, id=number)


def a_reply(number: int = 2, **changes: Any) -> RequestPost:
    about = samples.request(state=State.CANCELLED, **changes)
    return samples.post(EventName.CANCELLED, about, id=number)


def an_edit(number: int = 3, **changes: Any) -> RequestPost:
    about = samples.request(**changes)
    return samples.post(EventName.CANCELLED, about, kind=PostKind.EDIT, id=number)


def a_copy(event: EventName = EventName.NOTIFIED, **changes: Any) -> RequestPost:
    about = samples.request(**{"state": State.AWAITING, "approvals_needed": 1} | changes)
    return samples.post(event, about, kind=PostKind.COPY, id=4, recipient="U0ADA")


def a_copy_edit(number: int, **changes: Any) -> RequestPost:
    place = Card(channel="D0ADA", ts="2.1")
    return replace(a_copy(**changes), kind=PostKind.EDIT, id=number, copy=place)


async def test_card_is_posted_with_its_id_and_metadata(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    post = a_card()
    await outbox.deliver(post)

    (call,) = slack.called("chat.postMessage")
    assert call["channel"] == "C0OPS"
    assert call["client_msg_id"] == post.client_msg_id
    assert call["metadata"]["event_payload"] == {"request": "request-1", "state": "approved"}
    assert call["text"]
    assert store.sent == [(1, "C0OPS", TS)]


async def test_reply_is_posted_in_the_cards_thread(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    await outbox.deliver(a_reply())

    (call,) = slack.called("chat.postMessage")
    assert (call["channel"], call["thread_ts"]) == ("C0OPS", TS)
    assert store.sent == [(2, "C0OPS", TS)]


async def test_edit_updates_the_card_in_place(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    await outbox.deliver(an_edit())

    (call,) = slack.called("chat.update")
    assert (call["channel"], call["ts"]) == ("C0OPS", TS)
    assert slack.called("chat.postMessage") == []
    assert store.sent == [(3, "C0OPS", TS)]


@pytest.mark.parametrize(
    "failure", [aiohttp.ServerDisconnectedError(), TimeoutError(), "internal_error", "fatal_error"]
)
async def test_post_without_an_answer_is_retried_with_the_same_id(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, failure: str | Exception
) -> None:
    slack.says("chat.postMessage", failure)
    await outbox.deliver(a_card())
    await outbox.deliver(a_card())

    ids = {call["client_msg_id"] for call in slack.called("chat.postMessage")}
    assert len(store.retries) == 1
    assert len(ids) == 1
    assert store.sent == [(1, "C0OPS", TS)]


async def test_retry_after_is_respected(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, clock: FakeClock
) -> None:
    script = slack.scripts["chat.postMessage"]
    script.headers, script.status = {"Retry-After": "2"}, 429
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(a_card(1))
    script.status = 200
    await outbox.deliver(a_card(2))

    assert 2.0 <= store.retries[0][1] <= 3.0
    assert clock.sleeps[-1] == pytest.approx(2.0, abs=0.5)
    assert [number for number, _, _ in store.sent] == [2]


async def test_post_is_released_when_its_channel_is_blocked_for_long(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    script = slack.scripts["chat.postMessage"]
    script.headers = {"Retry-After": "30"}
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(a_card(1))
    await outbox.deliver(a_card(2))

    assert len(slack.called("chat.postMessage")) == 1
    assert [number for number, _, _ in store.retries] == [1, 2]
    assert store.retries[1][1] == pytest.approx(30.0, abs=0.5)


async def test_edit_does_not_wait_for_a_blocked_channel(
    outbox: Outbox, slack: FakeSlack, clock: FakeClock
) -> None:
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(a_card())
    await outbox.deliver(an_edit())

    assert set(clock.sleeps) == {0.0}


@pytest.mark.parametrize("code", ["no_permission", "not_in_channel", "is_archived"])
async def test_card_that_its_channel_refuses_moves_to_the_requester(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, code: str
) -> None:
    slack.says("chat.postMessage", code)
    await outbox.deliver(a_card())

    ((number, channel, because),) = store.moved
    assert (number, channel) == (1, RINA.id)
    assert code in because


async def test_reply_that_its_thread_refuses_goes_to_the_requester(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "restricted_action_thread_locked")
    await outbox.deliver(a_reply())

    first, second = slack.called("chat.postMessage")
    assert first["thread_ts"] == TS
    assert second["channel"] == RINA.id
    assert "thread_ts" not in second
    assert store.sent == [(2, "C0OPS", TS)]


async def test_reply_that_is_refused_everywhere_is_retried(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "restricted_action", "messages_tab_disabled")
    await outbox.deliver(a_reply())

    assert [number for number, _, _ in store.retries] == [2]
    assert store.dropped == []


async def test_reply_is_retried_when_its_direct_message_times_out(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "is_archived", TimeoutError())
    await outbox.deliver(a_reply())

    assert [number for number, _, _ in store.retries] == [2]


async def test_edit_of_a_deleted_card_is_dropped_and_counted(
    slack: FakeSlack, store: FakeOutboxStore
) -> None:
    dropped: list[None] = []
    outbox = an_outbox(slack, store, on_drop=lambda: dropped.append(None))
    slack.says("chat.update", "message_not_found")
    await outbox.deliver(an_edit())

    assert [number for number, _ in store.dropped] == [3]
    assert len(dropped) == 1


async def test_refused_edit_of_an_ended_card_is_retried(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.update", "cant_update_message")
    await outbox.deliver(an_edit())

    assert [number for number, _, _ in store.retries] == [3]


# Content that Slack refuses

CONTENT_CODES = ("invalid_blocks", "msg_blocks_too_long", "invalid_arguments")


@pytest.mark.parametrize("code", CONTENT_CODES)
async def test_card_with_refused_blocks_is_posted_as_text_with_its_facts_and_commands(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, code: str
) -> None:
    slack.says("chat.postMessage", code)
    await outbox.deliver(a_card(state=State.AWAITING))

    refused, posted = slack.called("chat.postMessage")
    assert "blocks" in refused
    assert "blocks" not in posted
    assert posted["metadata"] == refused["metadata"]
    assert posted["client_msg_id"] == refused["client_msg_id"]
    for fact in ("Waits for approval", CLUSTER, JOB_ID, "approve request-1", "deny request-1"):
        assert fact in posted["text"]
    assert store.sent == [(1, "C0OPS", TS)]


async def test_edit_with_refused_blocks_removes_the_buttons(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.update", "msg_too_long")
    await outbox.deliver(an_edit())

    posted = slack.called("chat.update")[1]
    assert posted["blocks"] == []
    assert JOB_ID in posted["text"]
    assert [number for number, _, _ in store.sent] == [3]


async def test_outcome_with_refused_blocks_is_posted_as_text_in_the_thread(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "invalid_blocks")
    await outbox.deliver(a_reply())

    posted = slack.called("chat.postMessage")[1]
    assert posted["thread_ts"] == TS
    assert "is cancelled" in posted["text"]
    assert store.sent == [(2, "C0OPS", TS)]


async def test_announcement_with_refused_blocks_is_posted_as_text(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "invalid_blocks_format")
    await outbox.deliver(samples.announcement())

    text = slack.called("chat.postMessage")[1]["text"]
    assert f"/cancel-restore {PROJECT_ID} {CLUSTER} {JOB_ID}" in text
    assert len(store.sent) == 1


async def test_refused_metadata_is_left_out_and_the_buttons_stay(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "metadata_too_large")
    await outbox.deliver(a_card())

    posted = slack.called("chat.postMessage")[1]
    assert "metadata" not in posted
    assert posted["blocks"]
    assert len(store.sent) == 1


async def test_message_that_is_refused_in_each_form_is_retried(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", *["invalid_arguments"] * 3)
    await outbox.deliver(a_card())

    assert set(slack.called("chat.postMessage")[2]) & {"blocks", "metadata"} == set()
    assert [number for number, _, _ in store.retries] == [1]


async def test_edits_stay_below_slacks_limit_and_final_ones_come_first(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    for number in range(EDITS):
        await outbox.deliver(an_edit(number))
    interim = len(slack.calls)
    for number in range(EDITS):
        await outbox.deliver(an_edit(number, state=State.CANCELLED))

    assert interim == EDITS - FINAL_EDITS
    assert len(slack.calls) == EDITS
    assert all(50 < seconds <= 60 for _, seconds, _ in store.retries)


async def test_edits_of_copies_leave_room_for_those_of_cards(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, clock: FakeClock
) -> None:
    for number in range(EDITS):
        await outbox.deliver(a_copy_edit(number))
    interim = len(slack.calls)
    for number in range(EDITS):
        await outbox.deliver(a_copy_edit(number, state=State.DENIED))

    assert (interim, len(slack.calls)) == (COPY_EDITS, FINAL_COPY_EDITS)
    assert store.dropped == []
    assert not any(clock.sleeps)  # none holds a place while it waits


async def test_copy_is_the_card_with_its_buttons_as_a_direct_message(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    await outbox.deliver(a_copy())

    (call,) = slack.called("chat.postMessage")
    assert call["channel"] == "U0ADA"
    assert "thread_ts" not in call
    assert "cancel_restore_approve" in str(call["blocks"])
    assert "in the thread of the card" in str(call["blocks"][-1])
    assert len(store.sent) == 1


async def test_copy_of_a_reminder_says_so(outbox: Outbox, slack: FakeSlack) -> None:
    await outbox.deliver(a_copy(EventName.REMINDED))

    (call,) = slack.called("chat.postMessage")
    assert "Reminder" in str(call["blocks"][0])


async def test_copy_of_a_decided_request_is_not_sent(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    dropped: list[None] = []
    outbox.on_drop = lambda: dropped.append(None)
    await outbox.deliver(a_copy(state=State.DENIED))

    assert slack.calls == []
    assert (store.discarded, store.dropped, dropped) == ([4], [], [])


async def test_edit_of_a_copy_updates_it_in_place(outbox: Outbox, slack: FakeSlack) -> None:
    await outbox.deliver(a_copy_edit(5, state=State.DENIED))

    (call,) = slack.called("chat.update")
    assert (call["channel"], call["ts"]) == ("D0ADA", "2.1")
    assert "cancel_restore_approve" not in str(call["blocks"])


async def test_edit_of_a_copy_that_was_not_delivered_is_not_needed(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    await outbox.deliver(replace(a_copy_edit(5), copy=None))

    assert slack.calls == []
    assert store.discarded == [5]


@pytest.mark.parametrize("code", ["cannot_dm_bot", "user_disabled", "channel_not_found"])
async def test_copy_that_its_recipient_does_not_take_is_no_dropped_post_of_the_alert(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, code: str
) -> None:
    dropped: list[None] = []
    outbox.on_drop = lambda: dropped.append(None)
    slack.says("chat.postMessage", code)
    await outbox.deliver(a_copy())

    assert [post for post, _ in store.dropped] == [4]
    assert dropped == []


async def test_reply_that_slack_has_already_is_marked_sent(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "duplicate_message_not_found")
    await outbox.deliver(a_reply())

    assert store.sent == [(2, "C0OPS", "")]


async def test_card_that_slack_has_at_an_unknown_place_is_posted_anew(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    """Without its place no thread and no edit could follow."""
    slack.says("chat.postMessage", "duplicate_channel_not_found")
    await outbox.deliver(a_card())

    assert "client_msg_id" not in slack.called("chat.postMessage")[1]
    assert store.sent == [(1, "C0OPS", TS)]


async def test_edit_without_a_card_is_dropped(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    about = samples.request(card=None)
    await outbox.deliver(samples.post(EventName.CANCELLED, about, kind=PostKind.EDIT, id=3))

    assert [number for number, _ in store.dropped] == [3]
    assert slack.calls == []


async def test_reply_without_a_card_goes_to_the_requester(outbox: Outbox, slack: FakeSlack) -> None:
    await outbox.deliver(a_reply(card=None))

    assert slack.called("chat.postMessage")[0]["channel"] == RINA.id


async def test_delivery_is_recorded_after_failures_of_the_database(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    store.faults = [NotRecorded(), NotRecorded()]
    await outbox.deliver(a_card())

    assert len(slack.called("chat.postMessage")) == 1
    assert store.sent == [(1, "C0OPS", TS)]


async def until(predicate: Callable[[], object]) -> None:
    """Wait until `predicate` holds."""
    for _ in range(2000):
        if predicate():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the condition did not become true")


async def running(outbox: Outbox) -> asyncio.Task[None]:
    return asyncio.create_task(outbox.run())


async def test_due_posts_are_delivered_in_order_before_the_stop(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    about = samples.request(card=None)
    kinds = (PostKind.CARD, PostKind.REPLY, PostKind.EDIT)
    store.due = [
        samples.post(EventName.CANCELLED, about, kind=kind, id=number)
        for number, kind in enumerate(kinds, 1)
    ]
    task = await running(outbox)
    await outbox.stop(task, 2.0)

    assert [number for number, _, _ in store.sent] == [1, 2, 3]
    assert slack.methods == ["chat.postMessage", "chat.postMessage", "chat.update"]


async def test_slow_request_does_not_delay_other_requests(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    gate = slack.scripts["chat.postMessage"].gate = asyncio.Event()
    store.due = [a_card(1), an_edit(2)]
    task = await running(outbox)
    await until(lambda: store.sent)
    first = list(store.sent)
    gate.set()
    await outbox.stop(task, 2.0)

    assert [number for number, _, _ in first] == [2]
    assert [number for number, _, _ in store.sent] == [2, 1]


def in_a_channel_of_its_own(post: RequestPost) -> RequestPost:
    return replace(post, request=replace(post.request, channel=f"C0OPS{post.id}"))


async def test_channel_gets_one_message_a_second_after_a_burst(
    slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    hasty = an_outbox(slack, store, sleep=sleep)
    for number in range(1, POST_BURST + 5):
        await hasty.deliver(a_card(number))

    assert [round(seconds) for seconds in slept] == [0] * POST_BURST + [1, 2, 3]
    assert [(post_id, round(seconds)) for post_id, seconds, _ in store.retries] == [
        (POST_BURST + 4, 4)
    ]


async def test_number_of_claimed_posts_is_limited(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    gate = slack.scripts["chat.postMessage"].gate = asyncio.Event()
    store.due = [in_a_channel_of_its_own(a_card(n)) for n in range(1, MAX_CONCURRENT_POSTS + 5)]
    task = await running(outbox)
    await until(lambda: len(slack.calls) == MAX_CONCURRENT_POSTS)
    left = len(store.due)
    gate.set()
    await outbox.stop(task, 2.0)

    assert left == 4
    assert len(store.sent) == MAX_CONCURRENT_POSTS + 4


@pytest.mark.parametrize("fault", [NotRecorded(), KeyError("unexpected")])
async def test_outbox_is_read_again_after_an_error(
    outbox: Outbox, store: FakeOutboxStore, fault: Exception
) -> None:
    store.claim_faults = [fault, fault]
    store.due = [a_card()]
    task = await running(outbox)
    await until(lambda: store.sent)
    await outbox.stop(task, 2.0)

    assert store.claims >= 3
    assert store.held[:4] == [None, [], [], None]


async def test_wake_starts_a_read(slack: FakeSlack, store: FakeOutboxStore) -> None:
    patient = an_outbox(slack, store, poll_interval=60.0)
    task = await running(patient)
    await asyncio.sleep(0)
    store.due = [a_card()]
    patient.wake()
    await until(lambda: store.sent)
    await patient.stop(task, 2.0)

    assert store.sent == [(1, "C0OPS", TS)]


async def test_post_that_cannot_be_built_does_not_stop_the_others(
    slack: FakeSlack, store: FakeOutboxStore
) -> None:
    class Broken(Projects):
        def find(self, name_or_id: str) -> Project | None:
            if name_or_id == PROJECT_ID:
                raise RuntimeError(name_or_id)
            return super().find(name_or_id)

    outbox = an_outbox(slack, store, projects=Broken([]))
    elsewhere = JobRef(project_id="1" * 24, cluster_name="prod-eu", job_id=JOB_ID)
    store.due = [a_card(1), a_reply(2, ref=elsewhere)]
    task = await running(outbox)
    await outbox.stop(task, 2.0)

    assert [number for number, _, _ in store.retries] == [1]
    assert [number for number, _, _ in store.sent] == [2]


async def test_delivery_that_cannot_be_recorded_is_left_to_its_lease(
    slack: FakeSlack, store: FakeOutboxStore, outbox: Outbox
) -> None:
    store.faults = [NotRecorded()] * (len(RECORD_BACKOFFS) + 1)
    store.due = [a_card()]
    task = await running(outbox)
    await outbox.stop(task, 2.0)

    assert store.sent == []
    assert len(slack.called("chat.postMessage")) == 1


async def test_stop_is_bounded_while_slack_hangs(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.scripts["chat.postMessage"].gate = asyncio.Event()
    store.due = [a_card()]
    task = await running(outbox)
    await outbox.stop(task, 0.05)

    assert task.done()
    assert store.sent == []


# Announcements


async def test_announcement_is_posted_in_the_watch_channel(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    post = samples.announcement()
    await outbox.deliver(post)

    (call,) = slack.called("chat.postMessage")
    assert (call["channel"], call["client_msg_id"]) == (WATCH, post.client_msg_id)
    assert store.sent == [(1, "C0OPS", TS)]


async def test_change_updates_the_announcement(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    job = samples.watched_job(state=WatchedState.CANCELLED, message=HERE)
    await outbox.deliver(samples.announcement(job=job))

    (call,) = slack.called("chat.update")
    assert (call["channel"], call["ts"]) == (WATCH, TS)
    assert slack.called("chat.postMessage") == []
    assert store.sent == [(1, WATCH, TS)]


async def test_announcement_of_a_project_without_a_watch_channel_is_dropped(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    other = replace(samples.watched_job().ref, project_id="f" * 24)
    await outbox.deliver(samples.announcement(job=samples.watched_job(ref=other)))

    assert slack.calls == []
    assert store.dropped == [(1, "the project has no watch channel any more")]


async def test_announcement_of_a_project_without_a_watch_channel_is_still_updated(
    outbox: Outbox, slack: FakeSlack
) -> None:
    other = replace(samples.watched_job().ref, project_id="f" * 24)
    job = samples.watched_job(ref=other, message=HERE, state=WatchedState.EXPIRED)
    await outbox.deliver(samples.announcement(job=job))

    assert slack.methods == ["chat.update"]


async def test_announcement_at_an_unknown_place_is_not_updated(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    job = samples.watched_job(message=Card(channel=WATCH, ts=""))
    await outbox.deliver(samples.announcement(job=job))

    assert slack.calls == []
    assert store.dropped == [(1, "Slack did not return the place of the message")]


async def test_announcement_that_slack_has_already_is_not_posted_again(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "duplicate_message_not_found")
    await outbox.deliver(samples.announcement(attempts=2))

    assert slack.methods == ["chat.postMessage"]
    assert store.sent == [(1, WATCH, "")]


async def test_channel_that_refuses_an_announcement_is_blocked_for_the_others(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", "not_in_channel")
    await outbox.deliver(samples.announcement())
    await outbox.deliver(samples.announcement(id=2))

    first, second = store.retries
    assert first[:2] == (1, REFUSED_ANNOUNCEMENT_BACKOFF)
    assert "not_in_channel" in first[2]
    assert second[0] == 2
    assert second[1] == pytest.approx(REFUSED_ANNOUNCEMENT_BACKOFF, abs=1)
    assert slack.methods == ["chat.postMessage"]


async def test_short_retry_after_delays_the_next_announcement(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore, clock: FakeClock
) -> None:
    slack.scripts["chat.postMessage"].headers = {"Retry-After": "1"}
    slack.says("chat.postMessage", "ratelimited")
    await outbox.deliver(samples.announcement())
    await outbox.deliver(samples.announcement(id=2))

    assert [number for number, _, _ in store.retries] == [1]
    assert [number for number, _, _ in store.sent] == [2]
    assert 0.9 < clock.sleeps[1] <= 2


async def test_announcements_do_not_use_the_rate_limit_of_cards(
    slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    outbox = an_outbox(slack, store, sleep=sleep)
    for number in range(ANNOUNCEMENT_BURST + 1):
        await outbox.deliver(samples.announcement(id=number))
    await outbox.deliver(a_card(9, channel=WATCH))

    assert [round(seconds) for seconds in slept] == [0] * ANNOUNCEMENT_BURST + [1, 0]


async def test_card_is_posted_while_an_announcement_hangs(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    gate = slack.scripts["chat.postMessage"].gate = asyncio.Event()
    store.due = [samples.announcement(id=n, job=samples.watched_job(id=n)) for n in range(10, 30)]
    task = await running(outbox)
    await until(lambda: slack.calls)
    store.due += [a_card(1), an_edit(2)]
    outbox.wake()
    await until(lambda: store.sent)
    channels = [call["channel"] for call in slack.called("chat.postMessage")]
    gate.set()
    await outbox.stop(task, 0.1)

    assert channels == [WATCH, "C0OPS"]


async def test_announcements_are_delivered_in_order_before_the_stop(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    task = await running(outbox)
    await asyncio.sleep(0)
    ids = [str(number) * 8 for number in (1, 2, 3)]
    store.due = [
        samples.announcement(client_msg_id=each, job=samples.watched_job(id=int(each)))
        for each in ids
    ]
    await outbox.stop(task, 5)

    assert [call["client_msg_id"] for call in slack.called("chat.postMessage")] == ids
    assert task.done()


async def test_worker_continues_after_errors_of_every_kind(
    outbox: Outbox, slack: FakeSlack, store: FakeOutboxStore
) -> None:
    slack.says("chat.postMessage", ValueError("a bug"), aiohttp.ClientError())
    store.due = [samples.announcement(id=n, job=samples.watched_job(id=n)) for n in (1, 2)]
    task = await running(outbox)
    await until(lambda: len(store.retries) == 2)
    store.due = [samples.announcement(id=3)]
    outbox.wake()
    await until(lambda: store.sent)
    await outbox.stop(task, 5)

    assert store.retries[0] == (1, MAX_BACKOFF, "internal error")
    assert [number for number, _, _ in store.sent] == [3]
