"""Logs an event that anyone can cause at most once a minute."""

import time
from collections.abc import Callable

INTERVAL = 60.0  #: seconds between two lines


class LogThrottle:
    """Counts events; the first one is due for the log, and then one each `interval`."""

    def __init__(
        self, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._last: float | None = None
        self._count = 0

    def count(self) -> int:
        """Count one event; return the events since the last line if a line is due, else 0."""
        self._count += 1
        now = self._clock()
        if self._last is not None and now - self._last < self._interval:
            return 0
        events, self._count, self._last = self._count, 0, now
        return events
