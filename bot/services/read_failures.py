"""Reads of the watch that failed: when they are tried again, and how long a project pauses."""

from collections import Counter
from collections.abc import Callable

import structlog

from bot.atlas import KeyRefused, NotOnAccessList, ProjectNotFound, RateLimited, RoleMissing
from bot.cancellation.errors import CancellationError, LedgerError
from bot.services.poll_schedule import rate_limit_backoff, retry_interval
from bot.timings import Timings

#: Errors that concern the whole project, not one cluster.
PROJECT_ERRORS = (KeyRefused, RoleMissing, NotOnAccessList, ProjectNotFound)

log = structlog.get_logger(__name__)


class ReadFailures:
    """The failed reads of one project, by cluster; the list of clusters has an empty name."""

    def __init__(
        self,
        project_id: str,
        interval: float,
        timings: Timings,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._project_id = project_id
        self._interval = interval
        self._timings = timings
        self._monotonic = monotonic
        self._jitter = jitter
        self._counts: Counter[str] = Counter()
        self._rate_limited = 0
        self.paused_until = monotonic()

    def record(self, name: str, error: Exception) -> float:
        """Return the seconds until the retry; pause the whole project where that helps."""
        place = {"project": self._project_id, "cluster": name or None}
        self._counts[name] += 1
        emit = log.warning if self._counts[name] == 1 else log.info
        emit("watch read failed", **place, why=str(error), times=self._counts[name])
        if seconds := self._project_pause(error):
            self.paused_until = max(self.paused_until, self._monotonic() + seconds)
            return 0.0  # read first after the pause
        return retry_interval(self._interval, self._counts[name])

    def clear(self, name: str) -> None:
        """Record a successful read."""
        if name:
            self._rate_limited = 0
        if self._counts.pop(name, 0) and name:
            log.info("watch reads the cluster again", project=self._project_id, cluster=name)

    def _project_pause(self, error: Exception) -> float:
        if isinstance(error, RateLimited):
            # Concurrent reads that get a 429 count as one.
            self._rate_limited += self._monotonic() >= self.paused_until
            return rate_limit_backoff(max(self._rate_limited, 1), error.retry_after, self._jitter())
        if isinstance(error, LedgerError):
            return 0.0
        if isinstance(error, CancellationError):
            return self._timings.rate_limit_pause
        return self._timings.key_refused_pause if isinstance(error, PROJECT_ERRORS) else 0.0
