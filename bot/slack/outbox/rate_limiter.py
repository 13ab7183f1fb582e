"""Limits the rate of messages per channel."""

from __future__ import annotations

import time
from collections.abc import Callable

from bot.timings import Timings


class ChannelRateLimiter:
    """A burst of messages, then one in each interval, for every channel.

    Args:
        burst: how many messages may follow each other without a pause.
        interval: seconds between two messages after the burst.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        burst: int,
        interval: float = Timings.message_interval,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._interval = interval
        self._monotonic = monotonic
        # When each channel's burst is fully available again.
        self._full_at: dict[str, float] = {}
        self._blocked_until: dict[str, float] = {}

    def seconds_until_free(self, channel: str) -> float:
        """Return the seconds until the channel takes another message."""
        now = self._monotonic()
        free_at = self._full_at.get(channel, now) - (self._burst - 1) * self._interval
        return max(0.0, free_at - now, self._blocked_until.get(channel, now) - now)

    def take(self, channel: str) -> None:
        """Count one message; the caller waits `seconds_until_free` first."""
        full_at = max(self._full_at.get(channel, 0.0), self._monotonic())
        self._full_at[channel] = full_at + self._interval

    def block(self, channel: str, seconds: float) -> None:
        """Let the channel take no message for `seconds`."""
        self._blocked_until[channel] = self._monotonic() + seconds
