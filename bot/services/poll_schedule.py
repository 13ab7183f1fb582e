"""When each cluster of a project is read next, and how long reads pause after errors (pure)."""

import math
from collections.abc import Iterable

#: The longest retry interval of a cluster, in seconds: for long intervals, and for short ones.
MAX_RETRY_INTERVAL = 60.0
MAX_SHORT_RETRY_INTERVAL = 15.0

#: Seconds of backoff after a 429; doubled each time, up to the maximum. Atlas's documentation
#: recommends its Retry-After first, then 10, 20, 40 seconds, with jitter.
RATE_LIMIT_BACKOFF = 10.0
MAX_RATE_LIMIT_BACKOFF = 300.0


class PollSchedule:
    """The clusters of one project, each with the time of its next read.

    Args:
        interval: seconds between two reads of a cluster.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._names: frozenset[str] = frozenset()
        self._due: dict[str, float] = {}
        self._in_flight: dict[str, float] = {}

    def set_clusters(self, names: Iterable[str], now: float) -> None:
        """Set the clusters; if they changed, spread them over the interval, new ones first."""
        if (names := frozenset(names)) == self._names:
            return
        waiting = sorted(
            names - self._in_flight.keys(), key=lambda name: (self._due.get(name, now), name)
        )
        step = self._interval / max(len(names), 1)
        self._names = names
        self._due = {name: now + number * step for number, name in enumerate(waiting)}

    def pop_due(self, now: float) -> str | None:
        """Return the cluster that is due longest, until `reschedule` is called for it."""
        name = min(self._due, key=self._due.__getitem__, default=None)
        if name is None or self._due[name] > now:
            return None
        self._in_flight[name] = self._due.pop(name)
        return name

    def reschedule(self, name: str, now: float, retry_in: float | None = None) -> None:
        """Schedule the next read of a cluster, if it still exists.

        Args:
            name: the cluster.
            now: when the read ended.
            retry_in: seconds until the next read; None keeps the regular interval, and skips
                reads that were missed.
        """
        due = self._in_flight.pop(name)
        if retry_in is not None:
            due = now + retry_in
        elif (late := now - due) >= 0:
            due += self._interval * (late // self._interval + 1)
        if name in self._names:
            self._due[name] = due

    @property
    def next_due(self) -> float:
        """When the next read is due; infinity without clusters."""
        return min(self._due.values(), default=math.inf)


def retry_interval(interval: float, failures: int) -> float:
    """Return the seconds until the next read after so many consecutive failures.

    A short interval grows, a long one is cut, and one in between stays.
    """
    longest = min(max(interval, MAX_SHORT_RETRY_INTERVAL), MAX_RETRY_INTERVAL)
    return min(interval * float(2 ** min(failures - 1, 10)), longest)


def rate_limit_backoff(count: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds for which a project is paused after `count` consecutive 429 answers.

    `retry_after` is that of the last one; `jitter`, from 0 to 1, adds up to a tenth.
    """
    own = min(RATE_LIMIT_BACKOFF * float(2 ** min(count - 1, 10)), MAX_RATE_LIMIT_BACKOFF)
    asked = retry_after or 0.0
    seconds = asked if retry_after and count == 1 else max(own, asked)
    return seconds * (1 + jitter / 10)
