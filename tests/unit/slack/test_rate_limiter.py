"""The rate limit of messages per channel."""

from __future__ import annotations

import pytest

from bot.slack.outbox.rate_limits import POST_BURST as BURST
from bot.slack.outbox.rate_limits import ChannelRateLimiter
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limiter(clock: FakeClock) -> ChannelRateLimiter:
    return ChannelRateLimiter(BURST, monotonic=clock.monotonic)


def waits(limiter: ChannelRateLimiter, count: int, channel: str = "C0OPS") -> list[float]:
    found = []
    for _ in range(count):
        found.append(round(limiter.seconds_until_free(channel), 3))
        limiter.take(channel)
    return found


def test_burst_needs_no_pause(limiter: ChannelRateLimiter) -> None:
    assert waits(limiter, BURST) == [0.0] * BURST


def test_one_message_a_second_after_a_burst(limiter: ChannelRateLimiter) -> None:
    waits(limiter, BURST)

    assert waits(limiter, 3) == [1.0, 2.0, 3.0]


def test_burst_is_available_again_after_a_pause(
    limiter: ChannelRateLimiter, clock: FakeClock
) -> None:
    waits(limiter, BURST + 3)
    clock.advance(BURST + 3)

    assert waits(limiter, BURST) == [0.0] * BURST


def test_channels_have_separate_limits(limiter: ChannelRateLimiter) -> None:
    waits(limiter, BURST + 3)

    assert limiter.seconds_until_free("C0QUIET") == 0.0


def test_blocked_channel_is_free_after_the_time(
    limiter: ChannelRateLimiter, clock: FakeClock
) -> None:
    limiter.block("C0OPS", 30)

    clock.advance(10)
    assert round(limiter.seconds_until_free("C0OPS"), 3) == 20.0
    clock.advance(20)
    assert limiter.seconds_until_free("C0OPS") == 0.0
