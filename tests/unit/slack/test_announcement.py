"""Each download restore is announced once, kept up to date, and no trouble of Slack's loses it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bot.cancellation.errors import NotRecorded
from bot.cancellation.lifecycle import Card
from bot.cancellation.watched_job import WatchedState
from bot.slack.command.grammar import OpenJob, parse
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    InvalidToken,
    MessageNotEditable,
    RateLimited,
    SlackRejected,
    SlackUnavailable,
)
from bot.slack.outbox.announcements import LATER, MOST_TRIES, Announcements, next_action
from bot.slack.outbox.delivery import LONGEST_PAUSE, MENDING, TRIES, Delivered, Drop, RetryLater
from bot.slack.outbox.retry_write import PAUSES as NOTE_PAUSES
from bot.timings import Timings
from tests.support.domain import JOB_ID, PROJECT_ID, Clock
from tests.unit.slack.fake_slack import LINKS, FakeSlack
from tests.unit.slack.samples import announcements as messages_of_the_watch
from tests.unit.slack.samples import sighting

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.cancellation.watched_job import WatchedJob
    from bot.slack.errors import SlackError

WATCH = "C0WATCH"
MESSAGES = messages_of_the_watch()
HERE = Card(channel="C0WATCH", ts="1700000000.000100")


@dataclass
class FakeSightings:
    """What is to be announced, in memory; `faults` are raised by whatever is called next."""

    due: list[WatchedJob] = field(default_factory=list)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def claim(self) -> WatchedJob | None:
        return self.due.pop(0) if self.due else None

    async def told(self, sighting: WatchedJob, message: Card, *, current: bool) -> None:
        self._note("told", message.channel, message.ts, current)

    async def again(self, sighting: WatchedJob, seconds: float, error: str) -> None:
        self._note("again", seconds, error)

    async def given_up(self, sighting: WatchedJob, error: str) -> None:
        self._note("given up", error)

    def _note(self, *what: Any) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.done.append(what)


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def sightings() -> FakeSightings:
    return FakeSightings()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def announcements(slack: FakeSlack, sightings: FakeSightings, clock: Clock) -> Announcements:
    return Announcements(
        sightings,
        slack,
        lambda project: WATCH if project == PROJECT_ID else None,
        lambda _project: "shop-prod",
        LINKS,
        timings=Timings(outbox_poll_interval=0.01),
        sleep=clock.sleep,
    )


async def until(predicate: Callable[[], object]) -> None:
    for _ in range(5000):
        if predicate():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


# What it says


def test_the_button_is_there_only_while_there_is_something_to_cancel() -> None:
    with_button = {
        name
        for name, message in MESSAGES.items()
        if any(block["type"] == "actions" for block in message["blocks"])
    }

    assert with_button == {"announcement_in_progress", "announcement_link_live"}


def test_the_buttons_value_is_what_a_person_would_type() -> None:
    (buttons,) = (
        block
        for block in MESSAGES["announcement_in_progress"]["blocks"]
        if block["type"] == "actions"
    )
    (button,) = buttons["elements"]

    assert (button["action_id"], button["text"]["text"]) == (
        "cancel_restore_open",
        "Cancel this job",
    )
    assert parse(button["value"]) == OpenJob(PROJECT_ID, "prod-eu", JOB_ID)


def test_only_a_cancelled_download_is_said_to_be_cancelled() -> None:
    saying_so = {
        name
        for name, message in MESSAGES.items()
        if "cancelled" in (str(message["blocks"]) + message["text"]).lower()
    }

    assert saying_so == {"announcement_cancelled", "announcement_ours"}


def test_an_announcement_is_no_card_for_programs() -> None:
    assert MESSAGES["announcement_expired"]["metadata"] == {
        "event_type": "cancel_restore_watch",
        "event_payload": {
            "project": PROJECT_ID,
            "cluster": "prod-eu",
            "job": JOB_ID,
            "job_state": "expired",
        },
    }


def test_the_end_of_a_job_that_we_cancelled_links_to_the_request() -> None:
    said = str(MESSAGES["announcement_ours"]["blocks"])

    assert (
        "<https://shop.slack.com/archives/C0OPS/p1700000000000100|The request>* of <@U0RINA>"
        in (said)
    )


# Delivery


async def test_an_announcement_is_posted_in_the_watch_channel(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    seen = sighting()
    await announcements.deliver(seen)

    (posted,) = slack.called("chat.postMessage")
    assert (posted["channel"], posted["client_msg_id"]) == (WATCH, seen.client_msg_id)
    assert sightings.done == [("told", "C0OPS", HERE.ts, True)]


async def test_a_change_is_an_edit_of_the_announcement(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    await announcements.deliver(sighting(seen=WatchedState.CANCELLED, message=HERE, version=2))

    (edited,) = slack.called("chat.update")
    assert (edited["channel"], edited["ts"]) == (HERE.channel, HERE.ts)
    assert slack.called("chat.postMessage") == []
    assert sightings.done == [("told", HERE.channel, HERE.ts, True)]


async def test_a_repeated_post_may_show_what_was_before_so_it_is_drawn_again(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    await announcements.deliver(sighting(attempts=2))

    assert sightings.done == [("told", "C0OPS", HERE.ts, False)]


async def test_a_project_that_is_not_watched_any_more_gets_no_announcement(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    other = replace(sighting().ref, project_id="f" * 24)
    await announcements.deliver(sighting(ref=other))

    assert slack.calls == []
    assert sightings.done == [("given up", "the project has no watch channel any more")]


async def test_an_announcement_of_a_project_that_is_not_watched_any_more_still_ends(
    announcements: Announcements, slack: FakeSlack
) -> None:
    other = replace(sighting().ref, project_id="f" * 24)
    await announcements.deliver(sighting(ref=other, message=HERE, seen=WatchedState.EXPIRED))

    assert slack.methods == ["chat.update"]


async def test_a_message_whose_place_is_not_known_is_not_edited(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    await announcements.deliver(sighting(message=Card(channel=WATCH, ts="")))

    assert slack.calls == []
    assert sightings.done == [("given up", "Slack has not said where the message stands")]


async def test_what_slack_has_already_is_not_posted_again(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    slack.says("chat.postMessage", "duplicate_message_not_found")
    await announcements.deliver(sighting(attempts=2))

    assert slack.methods == ["chat.postMessage"]
    assert sightings.done == [("told", WATCH, "", True)]


async def test_a_channel_that_takes_no_message_is_tried_later_and_once_for_all(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    slack.says("chat.postMessage", "not_in_channel")
    await announcements.deliver(sighting())
    await announcements.deliver(sighting(id=2))

    (first, second) = sightings.done
    assert first[:2] == ("again", LATER)
    assert "not_in_channel" in first[2]
    assert second == ("again", pytest.approx(LATER, abs=1), "the channel rests")
    assert slack.methods == ["chat.postMessage"]


async def test_a_short_rest_that_slack_asks_for_is_kept(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings, clock: Clock
) -> None:
    slack.scripts["chat.postMessage"].headers = {"Retry-After": "1"}
    slack.says("chat.postMessage", "ratelimited")
    await announcements.deliver(sighting())
    await announcements.deliver(sighting(id=2))

    assert [done[0] for done in sightings.done] == ["again", "told"]
    assert 0.9 < clock.waits[1] <= 2


async def test_a_delivery_is_noted_though_the_ledger_stumbles(
    announcements: Announcements, sightings: FakeSightings, clock: Clock
) -> None:
    sightings.faults = [NotRecorded() for _ in NOTE_PAUSES]
    await announcements.deliver(sighting())

    assert sightings.done == [("told", "C0OPS", HERE.ts, True)]
    assert clock.waits == [0, *NOTE_PAUSES]


@pytest.mark.parametrize(
    ("trouble", "verdict"),
    [
        (AlreadyPosted(), Delivered()),
        (RateLimited(seconds=7), RetryLater(7)),
        (SlackUnavailable(), RetryLater(0.5)),
        (InvalidToken(), RetryLater(MENDING)),
        (CannotPost(), RetryLater(LATER)),
        (MessageNotEditable(), Drop()),
        (SlackRejected("new_error"), RetryLater(0.5)),
    ],
)
def test_each_trouble_has_its_way_out(trouble: SlackError, verdict: object) -> None:
    assert next_action(sighting(), trouble, lambda: 0.0) == verdict


@pytest.mark.parametrize(
    ("attempts", "verdict"), [(TRIES, RetryLater(LATER)), (MOST_TRIES, Drop())]
)
def test_an_unknown_refusal_is_tried_rarely_and_not_for_ever(
    attempts: int, verdict: object
) -> None:
    assert next_action(sighting(attempts=attempts), SlackRejected("x"), lambda: 0.0) == verdict


def test_slack_may_be_away_for_as_long_as_it_likes() -> None:
    away = next_action(sighting(attempts=MOST_TRIES * 2), SlackUnavailable(), lambda: 1.0)

    assert away == RetryLater(LONGEST_PAUSE)


# The loop


async def test_what_is_due_is_delivered_in_order_and_at_the_end_too(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    running = asyncio.create_task(announcements.run())
    await asyncio.sleep(0)
    ids = [str(number) * 8 for number in (1, 2, 3)]
    sightings.due = [sighting(client_msg_id=each) for each in ids]
    await announcements.stop(running, 5)

    assert [call["client_msg_id"] for call in slack.called("chat.postMessage")] == ids
    assert running.done()


async def test_the_loop_outlives_trouble_of_every_kind(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    slack.says("chat.postMessage", ValueError("a mistake of ours"), aiohttp.ClientError())
    sightings.due = [sighting(), sighting()]
    running = asyncio.create_task(announcements.run())
    await until(lambda: len(sightings.done) == 2)
    sightings.faults = [NotRecorded() for _ in range(len(NOTE_PAUSES) + 1)]
    sightings.due = [sighting()]
    announcements.wake()
    await until(lambda: not sightings.faults)
    sightings.due = [sighting()]
    await until(lambda: len(sightings.done) == 3)
    await announcements.stop(running, 5)

    assert [done[0] for done in sightings.done] == ["again", "again", "told"]
    assert sightings.done[0] == ("again", LONGEST_PAUSE, "internal error")


async def test_a_slack_that_hangs_does_not_hold_up_the_end(
    announcements: Announcements, slack: FakeSlack, sightings: FakeSightings
) -> None:
    slack.scripts["chat.postMessage"].gate = asyncio.Event()
    sightings.due = [sighting()]
    running = asyncio.create_task(announcements.run())
    await until(lambda: slack.calls)
    await announcements.stop(running, 0.01)

    assert running.cancelled()
    assert sightings.done == []
