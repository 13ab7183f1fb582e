"""Turns to post in a channel."""

from __future__ import annotations

import pytest

from bot.slack.outbox.rate_limiter import BURST, ChannelRateLimiter
from tests.support.domain import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> ChannelRateLimiter:
    return ChannelRateLimiter(clock.monotonic)


def waits(pace: ChannelRateLimiter, count: int, channel: str = "C0OPS") -> list[float]:
    found = []
    for _ in range(count):
        found.append(round(pace.due_in(channel), 3))
        pace.take(channel)
    return found


def test_a_card_and_its_replies_need_not_wait(pace: ChannelRateLimiter) -> None:
    assert waits(pace, BURST) == [0.0] * BURST


def test_after_a_burst_one_message_a_second_is_due(pace: ChannelRateLimiter) -> None:
    waits(pace, BURST)

    assert waits(pace, 3) == [1.0, 2.0, 3.0]


def test_a_quiet_channel_takes_a_burst_again(pace: ChannelRateLimiter, clock: Clock) -> None:
    waits(pace, BURST + 3)
    clock.forward(BURST + 3)

    assert waits(pace, BURST) == [0.0] * BURST


def test_channels_do_not_wait_for_each_other(pace: ChannelRateLimiter) -> None:
    waits(pace, BURST + 3)

    assert pace.due_in("C0QUIET") == 0.0


def test_a_rest_that_slack_asks_for_is_kept(pace: ChannelRateLimiter, clock: Clock) -> None:
    pace.rest("C0OPS", 30)

    clock.forward(10)
    assert round(pace.due_in("C0OPS"), 3) == 20.0
    clock.forward(20)
    assert pace.due_in("C0OPS") == 0.0
