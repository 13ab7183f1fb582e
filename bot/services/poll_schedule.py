"""When each cluster of a project is read next, and how long reads pause after errors."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

import structlog

from bot.atlas import RateLimited
from bot.cancellation.errors import CancellationError, StorageError
from bot.services.search_results import PROJECT_ERRORS
from bot.timings import Timings

#: The longest retry interval of a cluster, in seconds: for long intervals, and for short ones.
MAX_RETRY_INTERVAL = 60.0
MAX_SHORT_RETRY_INTERVAL = 15.0
#: Seconds of backoff after a 429; doubled each time, up to the maximum. Atlas's documentation
#: recommends its Retry-After first, then 10, 20, 40 seconds, with jitter.
RATE_LIMIT_BACKOFF = 10.0
MAX_RATE_LIMIT_BACKOFF = 300.0
#: A feed read that is `MAX_FEED_DELAY` seconds late is ranked as if it were due `FEED_ADVANCE`
#: seconds earlier.
MAX_FEED_DELAY = 4.0
FEED_ADVANCE = 30.0
LIST_OFTEN_BELOW = 60.0  #: poll interval below which the list of clusters is read as often

log = structlog.get_logger(__name__)


class PollSchedule:
    """The clusters of one project, each with the time of its next read."""

    def __init__(self, spread: float) -> None:
        self._spread = spread  # the seconds of the first round after the clusters have changed
        self._names: frozenset[str] = frozenset()
        self._due: dict[str, float] = {}
        self._in_flight: set[str] = set()
        self._urgent: set[str] = set()

    def set_clusters(self, names: Iterable[str], now: float) -> None:
        """Set the clusters; if they changed, spread their reads, those of new ones first."""
        if (names := frozenset(names)) == self._names:
            return
        waiting = sorted(names - self._in_flight, key=lambda name: (self._due.get(name, now), name))
        step = self._spread / max(len(names), 1)
        self._names = names
        self._urgent &= names
        self._due = {
            name: self._due[name] if self.is_urgent(name) else now + number * step
            for number, name in enumerate(waiting)
        }

    def prioritize(self, names: Iterable[str]) -> None:
        """Read these clusters before all others, in this order, and once more if in flight."""
        ordered = [name for name in names if name in self._names]
        self._urgent |= {*ordered}
        places = {name: place for place, name in enumerate(ordered, -len(ordered))}
        self._due |= {name: place for name, place in places.items() if name in self._due}

    def is_urgent(self, name: str) -> bool:
        """Whether the cluster is read before all others, and that read has not begun."""
        return name in self._urgent

    def pop_due(self, now: float) -> str | None:
        """Return the cluster that is due longest, until `reschedule` is called for it."""
        name = min(self._due, key=self._due.__getitem__, default=None)
        if name is None or self._due[name] > now:
            return None
        del self._due[name]
        self._in_flight.add(name)
        return name

    def begin(self, name: str) -> None:
        """Record that the read of a cluster in flight begins now."""
        self._urgent.discard(name)

    def reschedule(self, name: str, due: float) -> None:
        """Set the next read of a cluster, if it still exists; an urgent one is due immediately."""
        self._in_flight.discard(name)
        if name in self._names:
            self._due[name] = -1.0 if name in self._urgent else due

    @property
    def in_flight(self) -> int:
        """How many clusters are being read, or wait for their turn."""
        return len(self._in_flight)

    @property
    def next_due(self) -> float:
        """When the next read is due, negative if urgent; infinity without clusters."""
        return min(self._due.values(), default=math.inf)


@dataclass(eq=False)
class ReadFailures:
    """The failed reads of one project, by cluster; the list of clusters has an empty name."""

    project_id: str
    interval: float
    timings: Timings
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    paused_until: float = -math.inf
    counts: Counter[str] = field(default_factory=Counter)
    rate_limited: int = 0

    def record(self, name: str, error: Exception) -> float:
        """Return the seconds until the retry; pause the whole project where that helps."""
        self.counts[name] += 1
        times = self.counts[name]
        emit = log.warning if times == 1 else log.info
        place = {"project": self.project_id, "cluster": name or None}
        emit("watch read failed", **place, why=str(error), times=times)
        if seconds := self._project_pause(error):
            self.paused_until = max(self.paused_until, self.monotonic() + seconds)
            return 0.0  # read first after the pause
        return retry_interval(self.interval, times)

    def clear(self, name: str) -> None:
        """Record a successful read."""
        if name:
            self.rate_limited = 0
        if self.counts.pop(name, 0) and name:
            log.info("watch reads the cluster again", project=self.project_id, cluster=name)

    def _project_pause(self, error: Exception) -> float:
        if isinstance(error, RateLimited):
            # Concurrent reads that get a 429 count as one.
            self.rate_limited += self.monotonic() >= self.paused_until
            return rate_limit_backoff(max(self.rate_limited, 1), error.retry_after, self.jitter())
        if isinstance(error, CancellationError) and not isinstance(error, StorageError):
            return self.timings.rate_limit_pause
        return self.timings.key_refused_pause if isinstance(error, PROJECT_ERRORS) else 0.0


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


def list_interval(interval: float, timings: Timings) -> float:
    """Return the seconds between two reads of the list of clusters.

    A new cluster has no snapshot for minutes, and an event causes a read, too.
    """
    wanted = interval if interval < LIST_OFTEN_BELOW else timings.cluster_list_interval
    return max(wanted, timings.cluster_list_max_age)


def feed_rank(due: float, now: float) -> float:
    """Return the rank of a read of a feed among those of clusters, which is the time it was due."""
    return due if now < due + MAX_FEED_DELAY else due - FEED_ADVANCE


def feed_delay(late: float) -> float:
    """Return by how many seconds feed reads are late when cluster reads are `late` seconds late."""
    return max(min(late, MAX_FEED_DELAY), late - FEED_ADVANCE)


def round_seconds(
    clusters: Sequence[int], interval: float, events: float, timings: Timings
) -> float:
    """Return the seconds in which the watch reads all clusters once.

    `clusters` has the number of clusters of each project; `interval` and `events` are the poll
    intervals of clusters and of activity feeds.
    """
    feed = max(events, timings.min_events_interval)
    calls = 1 / timings.watch_call_interval
    slowest = max(clusters, default=0) * timings.watch_read_interval
    # Above the call limit, cluster reads are late, and feed reads less so.
    late = next(
        seconds
        for seconds in count()
        if sum(clusters) / (interval + seconds) + len(clusters) / (feed + feed_delay(seconds))
        <= calls
    )
    return max(interval + late, slowest)
