"""How fast a channel takes messages: a burst, then one a second, and the rests Slack asks for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bot.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable

#: Messages that may follow each other at once: cards and outcomes of a busy hour need not wait.
#: Slack tolerates bursts, and says so by 429 when it does not.
BURST = 30


class ChannelRateLimiter:
    """Turns to post, channel by channel.

    Args:
        monotonic: seconds that never jump.
        burst: messages that may follow each other at once.
        interval: seconds between two messages after that.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        burst: int = BURST,
        interval: float = Timings.message_interval,
    ) -> None:
        self._monotonic = monotonic
        self._burst = burst
        self._interval = interval
        # When each channel would be all quiet again; a burst may run ahead of that.
        self._quiet_at: dict[str, float] = {}
        self._resting_until: dict[str, float] = {}

    def due_in(self, channel: str) -> float:
        """Return the seconds until the channel takes another message."""
        now = self._monotonic()
        turn = self._quiet_at.get(channel, now) - (self._burst - 1) * self._interval
        return max(0.0, turn - now, self._resting_until.get(channel, now) - now)

    def take(self, channel: str) -> None:
        """Use the next turn; whoever does so waits `due_in` seconds first."""
        self._quiet_at[channel] = (
            max(self._quiet_at.get(channel, 0.0), self._monotonic()) + self._interval
        )

    def rest(self, channel: str, seconds: float) -> None:
        """Leave the channel alone, since Slack has asked for it."""
        self._resting_until[channel] = self._monotonic() + seconds
