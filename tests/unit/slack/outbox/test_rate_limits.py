"""The rate limit of messages per channel."""

from typing import Any

import pytest

from bot.cancellation.events import EventName
from bot.cancellation.posts import JobPost, PostKind
from bot.slack.outbox.messages import Message
from bot.slack.outbox.rate_limits import EDITS, FINAL_EDITS, RateLimits, edit_limit
from bot.slack.outbox.rate_limits import POST_BURST as BURST
from bot.timings import DEFAULT_TIMINGS
from tests.support.clock import FakeClock
from tests.unit.slack import samples

POST = samples.post(EventName.CREATED, samples.request(), kind=PostKind.CARD)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limits(clock: FakeClock) -> RateLimits:
    limits = RateLimits(DEFAULT_TIMINGS, clock.monotonic)
    clock.advance(BURST)
    return limits


def waits(limits: RateLimits, count: int, channel: str = "C0OPS") -> list[float]:
    message = Message(channel=channel, content={})
    return [round(limits.take_turn(POST, message), 3) for _ in range(count)]


def test_replica_that_leads_now_begins_with_one_message(clock: FakeClock) -> None:
    """The one before may have sent a burst."""
    assert waits(RateLimits(DEFAULT_TIMINGS, clock.monotonic), 3) == [0.0, 1.0, 2.0]


def test_answered_question_is_edited_like_a_card_not_like_a_copy() -> None:
    """A person sees its buttons until then."""
    values: dict[str, Any] = {"id": 1, "client_msg_id": "1", "attempts": 1, "recipient": "U0RINA"}
    question = JobPost(kind=PostKind.QUESTION, job=samples.watched_job(), **values)

    assert edit_limit(question) == EDITS - FINAL_EDITS


def test_message_that_would_wait_too_long_is_not_counted(limits: RateLimits) -> None:
    waits(limits, BURST + 3)

    assert waits(limits, 2) == [4.0, 4.0]


def test_edit_takes_no_turn_of_a_message(limits: RateLimits) -> None:
    edit = Message(channel="C0OPS", content={}, ts="1.2")
    edits = [limits.take_turn(POST, edit) for _ in range(2 * BURST)]

    assert (edits, waits(limits, BURST)) == ([0.0] * (2 * BURST), [0.0] * BURST)


def test_burst_is_available_again_after_a_pause(limits: RateLimits, clock: FakeClock) -> None:
    waits(limits, BURST + 3)
    clock.advance(BURST + 3)

    assert waits(limits, BURST) == [0.0] * BURST
