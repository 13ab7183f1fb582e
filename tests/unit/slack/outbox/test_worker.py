"""The worker delivers each post once and records the result."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.atlas import JobRef, JobState
from bot.cancellation.errors import NotRecorded, RightsNotChecked
from bot.cancellation.events import EventName
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Card, State
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.posts import JobPost, Post, PostKind, RequestPost
from bot.services.projects import Project, Projects
from bot.slack.channels import ChannelInfo, ChannelStatus
from bot.slack.errors import CallLimits
from bot.slack.outbox.delivery import MAX_BACKOFF, REFUSED_ANNOUNCEMENT_BACKOFF
from bot.slack.outbox.messages import MessageBuilder
from bot.slack.outbox.rate_limits import (
    ANNOUNCEMENT_BURST,
    COPY_EDITS,
    EDITS,
    FACTS_COPY_EDITS,
    FACTS_EDITS,
    FINAL_COPY_EDITS,
    FINAL_EDITS,
    POST_BURST,
)
from bot.slack.outbox.worker import (
    MAX_CONCURRENT_POSTS,
    RECORD_BACKOFFS,
    REFUSED_CHANNEL_PAUSE,
    Outbox,
)
from bot.storage.database import Database
from bot.storage.replicas import CallBudget
from bot.timings import Timings
from tests.support.clock import FakeClock
from tests.support.domain import JOB_ID, PROJECT_ID, RINA
from tests.support.fake_atlas import FakeAtlas
from tests.support.polling import wait_until
from tests.support.service import CLUSTER, new_database
from tests.support.timings import DATABASE_TIMEOUT
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS, FakeBudget, FakeSlack
from tests.unit.slack.outbox.fake_outbox_store import FakeOutboxStore

TS = "1700000000.000100"
WATCH = "C0WATCH"
HERE = Card(channel=WATCH, ts=TS)
ELSEWHERE = JobRef(project_id="1" * 24, cluster_name="prod-eu", job_id=JOB_ID)


@dataclass
class Worker:
    """A worker with its fakes; `counted` has an entry for each dropped post of the alert."""

    slack: FakeSlack = field(default_factory=FakeSlack)
    store: FakeOutboxStore = field(default_factory=FakeOutboxStore)
    clock: FakeClock = field(default_factory=FakeClock)
    counted: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = CallLimits(self.clock.monotonic)
        self.outbox = an_outbox(self.slack, self.store, limits=limits, sleep=self.clock.sleep)
        self.outbox.on_drop = lambda: self.counted.append(None)

    @property
    def posted(self) -> list[dict[str, Any]]:
        return self.slack.called("chat.postMessage")

    @property
    def updated(self) -> list[dict[str, Any]]:
        return self.slack.called("chat.update")

    @property
    def sent(self) -> list[int]:
        return [number for number, _, _ in self.store.sent]

    @property
    def retried(self) -> list[int]:
        return [number for number, _, _ in self.store.retries]

    async def deliver(self, *posts: Post, answers: Sequence[str | Exception] = ()) -> None:
        """Deliver the posts; the first new messages get these answers of Slack."""
        self.slack.respond("chat.postMessage", *answers)
        for post in posts:
            await self.outbox.deliver(post)


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def can_post(_channel: str) -> ChannelInfo:
    return ChannelInfo(can_post=True)


async def send_nothing(_post: Post) -> None:
    pass


def an_outbox(
    slack: FakeSlack,
    store: FakeOutboxStore,
    poll_interval: float = 0.01,
    projects: Projects | None = None,
    **others: Any,
) -> Outbox:
    shop = Project(
        id=PROJECT_ID,
        name="shop-prod",
        policies=Policies(Policy(watch_channel=WATCH)),
        atlas=FakeAtlas({}),
    )
    messages = MessageBuilder(LINKS, projects or Projects([shop]))
    timings = Timings(outbox_poll_interval=poll_interval)
    channels = ChannelStatus(can_post, tuple)
    others = {"send_directly": send_nothing, "timings": timings, **others}
    outbox = Outbox(store, slack, "me", messages, channels, **others)
    # It has led for a while.
    outbox._rate_limits._began -= POST_BURST
    return outbox


def a_card(number: int = 1, **changes: Any) -> RequestPost:
    about = samples.request(id=f"request-{number}", card=None, **changes)
    return samples.post(EventName.CREATED, about, kind=PostKind.CARD, id=number)


def a_reply(number: int = 2, **changes: Any) -> RequestPost:
    about = samples.request(state=State.CANCELLED, **changes)
    return samples.post(EventName.CANCELLED, about, id=number)


def an_edit(number: int = 3, **changes: Any) -> RequestPost:
    about = samples.request(**changes)
    place = Card(channel="C0OPS", ts=TS)
    return samples.post(EventName.CREATED, about, kind=PostKind.CARD, id=number, place=place)


def a_copy(event: EventName = EventName.NOTIFIED, **changes: Any) -> RequestPost:
    about = samples.request(**{"state": State.AWAITING, "approvals_needed": 1} | changes)
    return samples.post(event, about, kind=PostKind.COPY, id=4, recipient="U0ADA")


def announced(number: int, **changes: Any) -> JobPost:
    return samples.announcement(id=number, job=samples.watched_job(id=number), **changes)


def a_copy_edit(number: int, **changes: Any) -> RequestPost:
    place = Card(channel="D0ADA", ts="2.1")
    return replace(a_copy(**changes), id=number, place=place)


async def test_card_is_posted_with_its_id_and_metadata(worker: Worker) -> None:
    post = a_card()
    await worker.deliver(post)

    (call,) = worker.posted
    assert call["channel"] == "C0OPS"
    assert call["client_msg_id"] == post.client_msg_id
    assert call["metadata"]["event_payload"] == {"request": "request-1", "state": "approved"}
    assert call["text"]
    assert worker.store.sent == [(1, "C0OPS", TS)]


async def test_edit_updates_the_card_in_place(worker: Worker) -> None:
    await worker.deliver(an_edit())

    (call,) = worker.updated
    assert (call["channel"], call["ts"]) == ("C0OPS", TS)
    assert worker.posted == []
    assert worker.store.sent == [(3, "C0OPS", TS)]


@pytest.mark.parametrize(
    "failure", [aiohttp.ServerDisconnectedError(), TimeoutError(), "internal_error", "fatal_error"]
)
async def test_post_without_an_answer_is_retried_with_the_same_id(
    worker: Worker, failure: str | Exception
) -> None:
    await worker.deliver(a_card(), a_card(), answers=[failure])
    ids = {call["client_msg_id"] for call in worker.posted}
    assert len(worker.store.retries) == 1
    assert len(ids) == 1
    assert worker.store.sent == [(1, "C0OPS", TS)]


async def test_nothing_is_posted_anywhere_before_retry_after_is_over(worker: Worker) -> None:
    worker.slack.scripts["chat.postMessage"].headers = {"Retry-After": "30"}
    await worker.deliver(a_card(1), a_card(2), a_copy(), an_edit(), answers=["ratelimited"])
    assert worker.slack.methods == ["chat.postMessage", "chat.update"]
    assert [(number, round(seconds)) for number, seconds, _ in worker.store.retries[1:]] == [
        (2, 30),
        (4, 30),
    ]
    assert 30.0 <= worker.store.retries[0][1] <= 31.0
    worker.clock.advance(30)
    await worker.deliver(a_card(2))

    assert worker.sent == [3, 2]


async def test_post_that_waited_for_its_turn_is_not_sent_within_retry_after(
    worker: Worker,
) -> None:
    async def sleep(seconds: float) -> None:
        if seconds:
            await worker.deliver(a_card(99, channel="C0WATCH"), answers=["ratelimited"])

    worker.outbox.sleep = sleep
    await worker.deliver(*(a_card(number) for number in range(1, POST_BURST + 2)))

    assert worker.retried == [99, POST_BURST + 1]
    assert len(worker.posted) == POST_BURST + 1


async def test_edit_that_is_counted_when_another_is_limited_is_not_sent(worker: Worker) -> None:
    class SlowBudget(FakeBudget):
        async def take(self, method: str, limit: int, window: float, ahead: int = 0) -> float:
            if not self.limits:
                self.limits.append(limit)
                await worker.outbox.deliver(an_edit(4))
            return 0.0

    worker.outbox.limits = CallLimits(worker.clock.monotonic, SlowBudget([]))
    worker.slack.respond("chat.update", "ratelimited")
    await worker.deliver(an_edit(3))

    assert (len(worker.updated), worker.retried) == (1, [4, 3])


async def test_new_leader_posts_nothing_within_the_retry_after_of_the_one_before(
    worker: Worker, tmp_path: Path
) -> None:
    database = Database(new_database(tmp_path), timeout=DATABASE_TIMEOUT)
    for _leader in range(2):
        worker.outbox.limits = CallLimits(
            worker.clock.monotonic, CallBudget(database, worker.clock)
        )
        worker.slack.respond("chat.postMessage", "ratelimited")
        worker.store.due = [a_card()]
        async with running(worker.outbox):
            pass
    await database.close()

    assert len(worker.posted) == 1


async def test_limited_post_waits_also_where_its_retry_after_cannot_be_recorded(
    worker: Worker,
) -> None:
    class FullDisk(FakeBudget):
        async def pause(self, method: str, seconds: float) -> None:
            raise NotRecorded

        async def paused(self, method: str) -> float:
            return 0.0

    worker.outbox.limits = CallLimits(worker.clock.monotonic, FullDisk([]))
    await worker.deliver(a_card(), a_card(2), answers=["ratelimited"])

    assert (len(worker.posted), worker.retried) == (1, [1, 2])

    worker.store.due = [a_card(3)]
    async with running(worker.outbox):  # it leads again
        pass
    assert len(worker.posted) == 1


@pytest.mark.parametrize("code", ["no_permission", "not_in_channel", "ekm_access_denied"])
async def test_card_that_its_channel_refuses_moves_to_the_requester(
    worker: Worker, code: str
) -> None:
    await worker.deliver(a_card(), answers=[code])

    ((number, channel, because),) = worker.store.moved
    assert (number, channel) == (1, RINA.id)
    assert code in because


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (State.AWAITING, "An approver can type `/cancel-restore approve request-1`."),
        (State.CANCELLED, "`/cancel-restore history` shows how it ends."),
    ],
)
async def test_requester_whose_direct_message_takes_no_card_either_is_told_once_where_they_asked(
    worker: Worker, state: State, step: str
) -> None:
    card = a_card(channel=RINA.id, state=state)
    await worker.deliver(card, card, answers=["cannot_dm_bot", "cannot_dm_bot"])

    (said,) = worker.slack.called("chat.postEphemeral")
    assert (said["channel"], said["user"]) == ("C0OPS", RINA.id)
    assert "no card shows it (Slack: cannot_dm_bot)" in said["text"]
    assert step in said["text"]
    assert worker.retried == [1, 1]


async def test_reply_that_its_thread_refuses_goes_to_the_requester(worker: Worker) -> None:
    await worker.deliver(a_reply(), answers=["restricted_action_thread_locked"])

    first, second = worker.posted
    assert first["thread_ts"] == TS
    assert second["channel"] == RINA.id
    assert "thread_ts" not in second
    assert worker.store.sent == [(2, "C0OPS", TS)]


@pytest.mark.parametrize(
    "answers",
    [("restricted_action", "messages_tab_disabled"), ("is_archived", TimeoutError())],
    ids=["is refused too", "times out"],
)
async def test_reply_is_retried_when_its_direct_message_after_a_refusal(
    worker: Worker, answers: tuple[str | Exception, ...]
) -> None:
    await worker.deliver(a_reply(), answers=answers)

    assert (worker.retried, worker.store.dropped) == ([2], [])


async def test_edit_of_a_deleted_card_is_dropped_and_counted(worker: Worker) -> None:
    worker.slack.respond("chat.update", "message_not_found")
    await worker.deliver(an_edit())

    assert [number for number, _ in worker.store.dropped] == [3]
    assert len(worker.counted) == 1


# Content that Slack refuses

CONTENT_CODES = ("invalid_blocks", "msg_blocks_too_long", "invalid_arguments")


@pytest.mark.parametrize("code", CONTENT_CODES)
async def test_card_with_refused_blocks_is_posted_as_text_with_its_facts_and_commands(
    worker: Worker, code: str
) -> None:
    await worker.deliver(a_card(state=State.AWAITING), answers=[code])

    refused, posted = worker.posted
    assert "blocks" in refused
    assert "blocks" not in posted
    assert posted["metadata"] == refused["metadata"]
    assert posted["client_msg_id"] == refused["client_msg_id"]
    for fact in ("Waits for approval", CLUSTER, JOB_ID, "approve request-1", "deny request-1"):
        assert fact in posted["text"]
    assert worker.store.sent == [(1, "C0OPS", TS)]


async def test_edit_with_refused_blocks_removes_the_buttons(worker: Worker) -> None:
    worker.slack.respond("chat.update", "msg_too_long")
    await worker.deliver(an_edit())

    posted = worker.updated[1]
    assert posted["blocks"] == []
    assert JOB_ID in posted["text"]
    assert worker.sent == [3]


async def test_edit_that_is_refused_twice_is_tried_again_with_the_metadata_of_its_state(
    worker: Worker,
) -> None:
    worker.slack.respond("chat.update", "invalid_blocks", "msg_too_long")
    await worker.deliver(an_edit(state=State.CANCELLED))

    states = [call["metadata"]["event_payload"]["state"] for call in worker.updated]
    assert states == ["cancelled", "cancelled"]
    assert worker.retried == [3]


async def test_edit_whose_metadata_is_refused_removes_those_of_the_earlier_state(
    worker: Worker,
) -> None:
    worker.slack.respond("chat.update", "metadata_too_large")
    await worker.deliver(an_edit(state=State.CANCELLED))

    assert [call["metadata"] for call in worker.updated][1:] == [{}]
    assert worker.sent == [3]


async def test_refused_metadata_is_left_out_and_the_buttons_stay(worker: Worker) -> None:
    await worker.deliver(a_card(), answers=["metadata_too_large"])

    posted = worker.posted[1]
    assert "metadata" not in posted
    assert posted["blocks"]
    assert len(worker.store.sent) == 1


async def test_message_that_is_refused_in_each_form_is_retried(worker: Worker) -> None:
    await worker.deliver(a_card(), answers=["invalid_arguments"] * 3)

    assert set(worker.posted[2]) & {"blocks", "metadata"} == set()
    assert worker.retried == [1]


async def test_edit_beyond_the_budget_waits_in_the_outbox(worker: Worker) -> None:
    budget = FakeBudget([50.0] * 6)
    worker.outbox.limits = CallLimits(worker.clock.monotonic, budget)
    waiting, ended = {"state": State.AWAITING}, {"state": State.DENIED}
    edits = (an_edit(3, **waiting), an_edit(4, **ended), a_copy_edit(5), a_copy_edit(6, **ended))
    about_jobs = [replace(each, only_facts=True) for each in (an_edit(7, **ended), a_copy_edit(8))]
    await worker.deliver(*edits, *about_jobs, a_card())

    assert budget.limits[:4] == [EDITS - FINAL_EDITS, EDITS, COPY_EDITS, FINAL_COPY_EDITS]
    assert budget.limits[4:] == [FACTS_EDITS, FACTS_COPY_EDITS]  # a new message needs none
    assert budget.windows == {Timings.edit_window}
    assert worker.slack.methods == ["chat.postMessage"]
    assert [seconds for _, seconds, _ in worker.store.retries] == [50.0] * 6


async def test_edits_that_wait_for_the_budget_are_tried_one_after_another(worker: Worker) -> None:
    budget = FakeBudget([50.0, 60.0, 70.0, 400.0])
    monotonic, limits = worker.clock.monotonic, CallLimits(worker.clock.monotonic, budget)
    worker.outbox = an_outbox(worker.slack, worker.store, monotonic=monotonic, limits=limits)
    await worker.deliver(*(an_edit(number, state=State.CANCELLED) for number in range(3)))
    await worker.deliver(an_edit(4, state=State.AWAITING))  # has a smaller share
    worker.clock.advance(65)
    await worker.deliver(an_edit(0, state=State.CANCELLED))

    assert budget.ahead == [0, 1, 2, 0, 1]
    assert [seconds for _, seconds, _ in worker.store.retries] == [50.0, 60.0, 70.0, 300.0]


async def test_each_form_of_an_edit_counts(worker: Worker) -> None:
    worker.outbox.limits = CallLimits(worker.clock.monotonic, FakeBudget([0.0, 50.0]))
    worker.slack.respond("chat.update", "invalid_blocks")
    await worker.deliver(an_edit())

    assert (len(worker.updated), worker.store.retries) == (1, [(3, 50.0, "postponed")])


async def test_copy_is_the_card_with_its_buttons_as_a_direct_message(worker: Worker) -> None:
    await worker.deliver(a_copy())

    (call,) = worker.posted
    assert call["channel"] == "U0ADA"
    assert "thread_ts" not in call
    assert "cancel_restore_approve" in str(call["blocks"])
    assert "cancel_restore_withdraw" not in str(call["blocks"])
    assert "in the thread of the card" in str(call["blocks"][-1])
    assert len(worker.store.sent) == 1


async def test_copy_of_a_reminder_says_so_after_the_question(worker: Worker) -> None:
    await worker.deliver(a_copy(EventName.REMINDED))

    (call,) = worker.posted
    assert "Cancel this download?" in str(call["blocks"][0])
    assert "Reminder" in str(call["blocks"][1])


async def test_copy_of_a_decided_request_is_not_sent(worker: Worker) -> None:
    await worker.deliver(a_copy(state=State.DENIED))

    assert worker.slack.calls == []
    assert (worker.store.discarded, worker.store.dropped, worker.counted) == ([4], [], [])


async def test_attempted_copy_of_a_decided_request_is_sent_as_it_is_now(worker: Worker) -> None:
    """Slack may have it from the first attempt, and then returns its place."""
    await worker.deliver(replace(a_copy(state=State.DENIED), attempts=2))

    (call,) = worker.posted
    assert "cancel_restore_approve" not in str(call["blocks"])
    assert len(worker.store.sent) == 1


@pytest.mark.parametrize("code", ["cannot_dm_bot", "user_disabled", "channel_not_found"])
async def test_copy_that_its_recipient_refuses_does_not_count_as_a_dropped_post(
    worker: Worker, code: str
) -> None:
    await worker.deliver(a_copy(), answers=[code])

    assert [post for post, _ in worker.store.dropped] == [4]
    assert worker.counted == []


async def test_reply_that_slack_has_already_is_marked_sent(worker: Worker) -> None:
    await worker.deliver(a_reply(), answers=["duplicate_message_not_found"])

    assert worker.store.sent == [(2, "C0OPS", "")]


async def test_card_that_slack_has_at_an_unknown_place_is_posted_anew(worker: Worker) -> None:
    """Without its place no thread and no edit could follow."""
    await worker.deliver(a_card(), answers=["duplicate_channel_not_found"])

    assert "client_msg_id" not in worker.posted[1]
    assert worker.store.sent == [(1, "C0OPS", TS)]


async def test_reply_of_an_operator_without_a_card_is_dropped(worker: Worker) -> None:
    await worker.deliver(a_reply(3, card=None, requester="cli:alice"))

    assert [number for number, _ in worker.store.dropped] == [3]
    assert worker.slack.calls == []


async def test_card_without_a_channel_waits_until_slack_says_who_the_approvers_are(
    worker: Worker,
) -> None:
    """The command line has no channel for it where the settings name none."""
    refusals, asked = [RightsNotChecked("Slack does not answer.")], list[Post]()

    async def send_directly(post: Post) -> None:
        asked.append(post)
        if refusals:
            raise refusals.pop()

    worker.outbox.send_directly = send_directly
    card = a_card(channel="")
    await worker.outbox.deliver(card)
    [(retried, seconds, _why)] = worker.store.retries
    assert (retried, seconds) == (card.id, MAX_BACKOFF)
    await worker.outbox.deliver(card)

    assert (worker.posted, worker.store.discarded, asked) == ([], [card.id], [card, card])


async def test_reply_without_a_card_goes_to_the_requester(worker: Worker) -> None:
    await worker.deliver(a_reply(card=None))

    assert worker.posted[0]["channel"] == RINA.id


async def test_delivery_is_recorded_after_failures_of_the_database(worker: Worker) -> None:
    worker.store.faults = [NotRecorded(), NotRecorded()]
    await worker.deliver(a_card())

    assert len(worker.posted) == 1
    assert worker.store.sent == [(1, "C0OPS", TS)]


@asynccontextmanager
async def running(outbox: Outbox, seconds: float = 20.0) -> AsyncIterator[asyncio.Task[None]]:
    """Run the worker, and stop it at the end within so many seconds."""
    task = asyncio.create_task(outbox.run())
    yield task
    await outbox.stop(task, seconds)


async def test_due_posts_are_delivered_in_order_before_the_stop(worker: Worker) -> None:
    about = samples.request(card=None)
    worker.store.due = [
        samples.post(EventName.CANCELLED, about, kind=kind, id=number)
        for number, kind in enumerate((PostKind.CARD, PostKind.REPLY), 1)
    ]
    async with running(worker.outbox):
        pass

    assert worker.sent == [1, 2]
    assert worker.posted[1]["thread_ts"] == TS


async def test_slow_request_does_not_delay_other_requests(worker: Worker) -> None:
    gate = worker.slack.scripts["chat.postMessage"].gate = asyncio.Event()
    worker.store.due = [a_card(1), an_edit(2)]
    async with running(worker.outbox):
        await wait_until(lambda: worker.store.sent)
        first = list(worker.store.sent)
        gate.set()

    assert [number for number, _, _ in first] == [2]
    assert worker.sent == [2, 1]


def in_channel(post: RequestPost, channel: str) -> RequestPost:
    return replace(post, request=replace(post.request, channel=channel))


def without_sleep(worker: Worker) -> tuple[list[float], Outbox]:
    """Return an outbox whose sleeps take no time, and the list of their seconds."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return slept, an_outbox(worker.slack, worker.store, sleep=sleep)


async def test_channel_gets_one_message_a_second_after_a_burst(worker: Worker) -> None:
    slept, hasty = without_sleep(worker)
    for number in range(1, POST_BURST + 5):
        await hasty.deliver(a_card(number))

    assert [round(seconds) for seconds in slept] == [0] * POST_BURST + [1, 2, 3]
    assert [(post_id, round(seconds)) for post_id, seconds, _ in worker.store.retries] == [
        (POST_BURST + 4, 4)
    ]


async def test_card_does_not_wait_for_the_turns_of_busy_channels(worker: Worker) -> None:
    gate = asyncio.Event()
    worker.outbox.sleep = lambda seconds: gate.wait() if seconds else asyncio.sleep(0)
    busy = [in_channel(a_card(n), f"C0BUSY{n % 4}") for n in range(24)]
    worker.store.due = [*busy, a_card(99)]
    async with running(worker.outbox):
        await wait_until(lambda: 99 in worker.sent)
        sent = len(worker.sent)
        gate.set()

    assert sent == 4 + 1  # a new leader begins with one message for each channel


async def test_number_of_claimed_posts_is_limited(worker: Worker) -> None:
    gate = worker.slack.scripts["chat.postMessage"].gate = asyncio.Event()
    worker.store.due = [
        in_channel(a_card(n), f"C0OPS{n}") for n in range(1, MAX_CONCURRENT_POSTS + 5)
    ]
    async with running(worker.outbox):
        await wait_until(lambda: len(worker.slack.calls) == MAX_CONCURRENT_POSTS)
        left = len(worker.store.due)
        worker.outbox.wake()
        await wait_until(lambda: worker.store.held[-1])
        gate.set()

    assert left == 4
    assert max(map(len, worker.store.held)) == MAX_CONCURRENT_POSTS
    assert len(worker.store.sent) == MAX_CONCURRENT_POSTS + 4


@pytest.mark.parametrize("fault", [NotRecorded(), KeyError("unexpected")])
async def test_outbox_is_read_again_after_an_error(worker: Worker, fault: Exception) -> None:
    worker.store.claim_faults = [fault, fault]
    worker.store.due = [a_card()]
    async with running(worker.outbox):
        await wait_until(lambda: worker.store.sent)

    assert worker.store.claims >= 3


async def test_wake_starts_a_read(worker: Worker) -> None:
    idle_outbox = an_outbox(worker.slack, worker.store, poll_interval=60.0)
    async with running(idle_outbox):
        await asyncio.sleep(0)
        worker.store.due = [a_card()]
        idle_outbox.wake()
        await wait_until(lambda: worker.store.sent)

    assert worker.store.sent == [(1, "C0OPS", TS)]


async def test_post_that_cannot_be_built_does_not_stop_the_others(worker: Worker) -> None:
    class Broken(Projects):
        def get_or_none(self, project_id: str) -> Project | None:
            if project_id == PROJECT_ID:
                raise RuntimeError(project_id)
            return super().get_or_none(project_id)

    outbox = an_outbox(worker.slack, worker.store, projects=Broken([]))
    worker.store.due = [a_card(1), a_reply(2, ref=ELSEWHERE)]
    async with running(outbox):
        pass

    assert worker.retried == [1]
    assert worker.sent == [2]


async def test_delivery_that_cannot_be_recorded_is_left_to_its_lease(worker: Worker) -> None:
    worker.store.faults = [NotRecorded()] * (len(RECORD_BACKOFFS) + 1)
    worker.store.due = [a_card()]
    async with running(worker.outbox):
        pass

    assert worker.store.sent == []
    assert len(worker.posted) == 1


async def test_post_is_left_to_another_replica_that_leads_by_now(worker: Worker) -> None:
    worker.outbox.leads = lambda: False
    await worker.outbox.deliver(a_card())

    assert worker.posted == []
    assert worker.store.sent == []


async def test_stop_is_bounded_while_slack_hangs(worker: Worker) -> None:
    worker.slack.scripts["chat.postMessage"].gate = asyncio.Event()
    worker.store.due = [a_card()]
    async with running(worker.outbox, 0.05) as task:
        pass

    assert task.done()
    assert worker.store.sent == []


# Announcements


async def test_announcement_is_posted_in_the_watch_channel(worker: Worker) -> None:
    post = samples.announcement()
    await worker.deliver(post)

    (call,) = worker.posted
    assert (call["channel"], call["client_msg_id"]) == (WATCH, post.client_msg_id)
    assert worker.store.sent == [(1, "C0OPS", TS)]


async def test_announcement_and_card_of_a_quarantine_are_counted_once_for_the_job(
    worker: Worker,
) -> None:
    counted: list[Job] = []
    worker.outbox.on_announced = counted.append
    new, quarantined = samples.watched_job(id=1), samples.watched_job(id=2)
    own = replace(a_card(2, requester=""), job=quarantined)
    others = [replace(a_card(3), job=quarantined), replace(own, id=4, place=HERE)]

    await worker.deliver(samples.announcement(job=new), own, *others)

    assert counted == [new, quarantined]


async def test_change_updates_the_announcement(worker: Worker) -> None:
    job = samples.watched_job(state=JobState.CANCELLED)
    await worker.deliver(samples.announcement(job=job, place=HERE))

    (call,) = worker.updated
    assert (call["channel"], call["ts"]) == (WATCH, TS)
    assert worker.posted == []
    assert worker.store.sent == [(1, WATCH, TS)]


async def test_announcement_of_a_project_without_a_watch_channel_is_not_needed(
    worker: Worker,
) -> None:
    await worker.deliver(samples.announcement(job=samples.watched_job(ref=ELSEWHERE)))

    assert worker.slack.calls == []
    assert (worker.store.discarded, worker.counted) == ([1], [])


async def test_announcement_of_a_project_without_a_watch_channel_is_still_updated(
    worker: Worker,
) -> None:
    job = samples.watched_job(ref=ELSEWHERE, state=JobState.EXPIRED)
    await worker.deliver(samples.announcement(job=job, place=HERE))

    assert worker.slack.methods == ["chat.update"]


async def test_channel_that_refuses_an_announcement_is_blocked_for_the_others(
    worker: Worker,
) -> None:
    await worker.deliver(announced(1), announced(2), answers=["not_in_channel"])

    first, second = worker.store.retries
    assert first[:2] == (1, REFUSED_ANNOUNCEMENT_BACKOFF)
    assert "not_in_channel" in first[2]
    assert second[0] == 2
    assert second[1] == pytest.approx(REFUSED_CHANNEL_PAUSE, abs=1)
    assert worker.slack.methods == ["chat.postMessage"]


async def test_burst_of_announcements_leaves_room_for_a_card(worker: Worker) -> None:
    slept, outbox = without_sleep(worker)
    for number in range(ANNOUNCEMENT_BURST):
        await outbox.deliver(samples.announcement(id=number))
    await outbox.deliver(a_card(9, channel=WATCH))
    await outbox.deliver(samples.announcement(id=10))

    assert [round(seconds) for seconds in slept] == [0] * ANNOUNCEMENT_BURST + [0, 2]


async def test_card_is_posted_while_an_announcement_hangs(worker: Worker) -> None:
    gate = worker.slack.scripts["chat.postMessage"].gate = asyncio.Event()
    worker.store.due = [announced(number) for number in range(10, 30)]
    async with running(worker.outbox, 0.1):
        await wait_until(lambda: worker.slack.calls)
        worker.store.due += [a_card(1), an_edit(2)]
        worker.outbox.wake()
        await wait_until(lambda: worker.store.sent)
        channels = [call["channel"] for call in worker.posted]
        gate.set()

    assert channels == [WATCH, "C0OPS"]


async def test_worker_continues_after_errors_of_every_kind(worker: Worker) -> None:
    worker.slack.respond("chat.postMessage", ValueError("a bug"), aiohttp.ClientError())
    worker.store.due = [announced(1), announced(2)]
    async with running(worker.outbox):
        await wait_until(lambda: len(worker.store.retries) == 2)
        worker.store.due = [samples.announcement(id=3)]
        worker.outbox.wake()
        await wait_until(lambda: worker.store.sent)

    assert worker.store.retries[0] == (1, MAX_BACKOFF, "internal error")
    assert worker.sent == [3]
