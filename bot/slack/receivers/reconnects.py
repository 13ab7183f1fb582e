"""Decides when the next Socket Mode connection may be opened, by what Slack counts."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.timings import DEFAULT_TIMINGS, Timings, backoff

CONNECTIONS = 2  #: that a process keeps, so that one is open while the other reconnects
FIRST_BACKOFF = 0.25  # seconds before the second attempt, doubled with each attempt
MAX_BACKOFF = 10.0
STABLE_AFTER = 5.0  # seconds that a connection must have been open to reset the backoff
_MAX_GROWTH = 8  #: beyond which a pause is the longest one in any case; keeps the powers small


@dataclass
class ReconnectPlan:
    """The connections that Slack counts, and the pauses that follow from their excess.

    Slack counts a connection that was cut for some minutes, and sends clicks to it, which are lost.
    Excess is what Slack counts less what all processes hold. Times are monotonic seconds.
    """

    timings: Timings = DEFAULT_TIMINGS
    jitter: Callable[[], float] = random.random
    counted: int = 0  #: by Slack's last hello
    others: int = 0  #: that other processes hold
    excess: int = 0
    failures: int = 0  #: attempts and short connections in a row
    _retry_at: float = 0.0
    _second_at: float = 0.0  # not before, while there is an excess
    _second_tries: int = 0

    def next_at(self, opened: Sequence[float]) -> float:
        """Return when the next connection may be opened, infinite where none is needed.

        `opened`: when each open connection was opened, without those that Slack is about to close.
        """
        if len(opened) >= CONNECTIONS:
            return math.inf
        if not opened:
            return self._retry_at
        if self.excess:
            return self._second_at
        return max(self._retry_at, max(opened) + self.timings.connection_stagger)

    def on_hello(self, now: float, counted: int | None, held: int, *, is_second: bool) -> None:
        """Take what Slack counts, None where it does not say, while the process holds `held`."""
        if counted is not None:
            self.counted = counted
        self.excess = max(0, (counted or 0) - held - self.others)
        self._second_tries = self._second_tries + is_second if self.excess else 0
        self._put_off_second(now)

    def on_failure(self, now: float, retry_after: float | None = None) -> None:
        """Pause after an attempt that failed."""
        self.failures += 1
        self._retry_at = now + backoff(
            self.failures,
            first=FIRST_BACKOFF,
            longest=MAX_BACKOFF,
            jitter=self.jitter(),
            retry_after=retry_after,
        )
        self._put_off_second(now)

    def on_end(self, now: float, opened_at: float, *, is_lost: bool) -> None:
        """Pause after the end of a connection, which Slack still counts if it `is_lost`."""
        if now - opened_at >= STABLE_AFTER:
            self.failures = 0
        elif now >= self._retry_at:  # both may end at once
            self.on_failure(now)
        if is_lost:
            self.excess += 1
            self._retry_at = max(self._retry_at, now + self.pause)
            self._put_off_second(now)

    def on_count(self, others: int) -> None:
        """Take how many connections the other processes hold.

        Where these are more than before, the last hello may have counted them already. Where they
        are fewer, Slack counts fewer, too: an excess begins with a hello or a cut.
        """
        self.excess = max(0, self.excess - max(0, others - self.others))
        self.others = others

    @property
    def pause(self) -> float:
        """The seconds after a cut without any connection; they grow with the excess."""
        first, longest = self.timings.reconnect_pause, self.timings.longest_reconnect_pause
        return min(first * 4.0 ** min(self.excess - 1, _MAX_GROWTH), longest)

    def _put_off_second(self, now: float) -> None:
        growth = 2.0 ** min(self._second_tries, _MAX_GROWTH)
        pause = min(self.timings.second_pause * growth, self.timings.longest_second_pause)
        self._second_at = now + pause
