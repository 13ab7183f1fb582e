"""When which cluster is looked at: evenly over the interval, later after trouble (pure)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds after which a cluster that could not be read is tried again, at most and at least.
RETRY_LATEST = 60.0
RETRY_GROWS_TO = 15.0

#: Seconds of rest after a 429 without a Retry-After; doubled each time, up to the longest.
#: Atlas's advice: its Retry-After first, then 10, 20, 40 seconds, with jitter.
FIRST_REST = 10.0
LONGEST_REST = 300.0


class PollSchedule:
    """The clusters of one project, each with the moment of its next look.

    Args:
        interval: seconds between two looks at a cluster.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._names: frozenset[str] = frozenset()
        self._due: dict[str, float] = {}
        self._taken: dict[str, float] = {}

    def spread(self, names: Iterable[str], now: float) -> None:
        """Go on with these clusters; when they changed, spread them evenly anew, new ones first."""
        if (names := frozenset(names)) == self._names:
            return
        waiting = sorted(
            names - self._taken.keys(), key=lambda name: (self._due.get(name, now), name)
        )
        step = self._interval / max(len(names), 1)
        self._names = names
        self._due = {name: now + number * step for number, name in enumerate(waiting)}

    def take(self, now: float) -> str | None:
        """Take the cluster that is due for longest; it comes back by `put_back`."""
        name = min(self._due, key=self._due.__getitem__, default=None)
        if name is None or self._due[name] > now:
            return None
        self._taken[name] = self._due.pop(name)
        return name

    def put_back(self, name: str, now: float, retry_in: float | None = None) -> None:
        """Let a cluster be looked at again, if it is still there.

        Args:
            name: the cluster.
            now: when the look has ended.
            retry_in: seconds until then; None keeps to the even pace, without making up for turns
                that were missed.
        """
        due = self._taken.pop(name)
        if retry_in is not None:
            due = now + retry_in
        elif (late := now - due) >= 0:
            due += self._interval * (late // self._interval + 1)
        if name in self._names:
            self._due[name] = due

    @property
    def next_due(self) -> float:
        """When the next look is due; infinity when none is."""
        return min(self._due.values(), default=math.inf)


def retry_pause(interval: float, failures: int) -> float:
    """Return the seconds until a cluster that failed so often in a row is looked at again.

    A short interval grows, a long one is cut; one in between stays as it is.
    """
    longest = min(max(interval, RETRY_GROWS_TO), RETRY_LATEST)
    return min(interval * float(2 ** min(failures - 1, 10)), longest)


def rest(refusals: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds for which a project is left alone after so many 429 in a row.

    Args:
        refusals: 1 for the first.
        retry_after: what Atlas asks for, or None.
        jitter: a number from 0 to 1, by chance; up to a tenth more.
    """
    own = min(FIRST_REST * float(2 ** min(refusals - 1, 10)), LONGEST_REST)
    asked = retry_after or 0.0
    seconds = asked if retry_after and refusals == 1 else max(own, asked)
    return seconds * (1 + jitter / 10)
