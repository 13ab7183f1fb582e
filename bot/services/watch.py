"""Polls the clusters of a project, to detect new restore jobs and their changes."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from bot.atlas import (
    AtlasClient,
    AtlasError,
    ClusterNotFound,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RateLimited,
    ReadItems,
    RestoreJob,
    RoleMissing,
    WrongClusterKind,
)
from bot.cancellation.errors import CancellationError, LedgerError
from bot.services.poll_schedule import PollSchedule, rate_limit_backoff, retry_interval
from bot.services.projects import RateLimitBudget
from bot.storage.watch_store import WatchStore
from bot.tasks import cancel_and_wait
from bot.timings import DEFAULT_TIMINGS, Timings

#: Seconds until the next check of what is due, at least.
SHORTEST_PAUSE = 0.005

#: Reads of a project at once, so that a cluster that hangs does not block the others.
MAX_CONCURRENT_READS = 8

#: The fraction of a project's rate limit that the watch leaves for people.
RESERVE = 0.5

#: Errors that concern the whole project, not one cluster.
PROJECT_ERRORS = (KeyRefused, RoleMissing, NotOnAccessList, ProjectNotFound)

#: The state of a job that could not be read.
UNREAD = "unread"

#: Seconds to release the lease at shutdown.
RELEASE_TIMEOUT = 0.5

log = structlog.get_logger(__name__)


class Watcher:
    """Watches one project while this replica holds its lease.

    Args:
        project_id: 24 hex digits.
        atlas: the project's client.
        budget: the project's rate-limit budget.
        store: holds the lease, and compares each read with the last one.
        interval: seconds between two reads of a cluster.
        timings: the other intervals and pauses of the watch.
        on_change: called when there is something to announce.
        on_read: called after each successful read.
    """

    def __init__(
        self,
        project_id: str,
        atlas: AtlasClient,
        budget: RateLimitBudget,
        store: WatchStore,
        *,
        interval: float,
        timings: Timings = DEFAULT_TIMINGS,
        on_change: Callable[[], None] = lambda: None,
        on_read: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._project_id = project_id
        self._atlas = atlas
        self._budget = budget
        self._store = store
        self._interval = interval
        self._timings = timings
        self._on_change = on_change
        self._on_read = on_read
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._tasks: set[asyncio.Task[None]] = set()
        self._renew_at = self._paused_until = monotonic()
        self._rate_limited = 0
        self._reset()

    def _reset(self) -> None:
        """Forget the state of an earlier lease: another replica may have changed the record."""
        self._schedule = PollSchedule(self._interval)
        self._list_at = self._monotonic()
        self._clusters: frozenset[str] | None = None
        self._unread: dict[str, str] = {}
        self._recorded: dict[str, frozenset[tuple[str, str]]] = {}
        self._failures: Counter[str] = Counter()

    async def run(self) -> None:
        """Watch until cancelled, then release the lease for another replica."""
        try:
            while True:
                await self._sleep(await self._step())
        finally:
            await self._close()

    async def _step(self) -> float:
        """Do what is due; return the seconds until the next step."""
        try:
            return await self._do_due()
        except LedgerError as error:
            log.warning("watch waits for the database", project=self._project_id, why=str(error))
        except Exception:
            log.exception("watch step failed", project=self._project_id)
        return self._timings.watch_lease_renewal_interval

    async def _do_due(self) -> float:
        now = self._monotonic()
        if now >= self._renew_at and not await self._renew_lease(now):
            return self._timings.watch_lease_renewal_interval
        if now < self._paused_until:
            return min(self._paused_until - now, self._timings.watch_lease_renewal_interval)
        if now >= self._list_at:
            self._list_at = now + max(self._interval, self._timings.cluster_list_max_age)
            self._start(self._list_clusters())
        if len(self._tasks) >= MAX_CONCURRENT_READS:
            return self._timings.watch_read_interval
        if name := self._schedule.pop_due(now):
            self._start(self._read_cluster(name))
            return self._timings.watch_read_interval
        soonest = min(self._schedule.next_due, self._list_at, self._renew_at)
        return min(max(soonest - now, SHORTEST_PAUSE), self._timings.watch_idle_interval)

    async def _renew_lease(self, now: float) -> bool:
        if await self._store.acquire(self._project_id):
            self._renew_at = now + self._timings.watch_lease_renewal_interval
            return True
        await self._stop_reads()
        return False

    async def _stop_reads(self) -> None:
        await cancel_and_wait(*self._tasks)
        self._renew_at = self._monotonic()
        self._reset()

    async def _close(self) -> None:
        await self._stop_reads()
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._store.release(self._project_id)
        except (TimeoutError, LedgerError) as error:
            # The lease expires.
            log.info("watch lease not released", project=self._project_id, why=str(error))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"watch {self._project_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _list_clusters(self) -> None:
        """Read the list of clusters; the known ones stay until it is read."""
        try:
            clusters = await self._atlas.clusters(self._project_id)
            self._report_unread("", clusters.unread_text("cluster"))
            await self._record_clusters(frozenset(each.name for each in clusters))
        except (AtlasError, CancellationError) as error:
            self._list_at = self._monotonic() + self._record_failure("", error)
        except Exception:
            log.exception("watch cannot list clusters", project=self._project_id)

    def _report_unread(self, name: str, why: str) -> None:
        """Warn of what could not be read: once, and again when its number changes."""
        if why and self._unread.get(name) != why:
            log.warning("left out", project=self._project_id, cluster=name or None, why=why)
        self._unread[name] = why

    async def _record_clusters(self, clusters: frozenset[str]) -> None:
        if clusters != self._clusters:
            gone = await self._store.record_clusters(self._project_id, clusters)
            if gone is None:
                self._renew_at = self._monotonic()
                return
            for name in gone:
                await self._record_jobs(name, ReadItems())
            self._clusters = clusters
        self._failures.pop("", None)
        self._on_read()
        self._schedule.set_clusters(clusters, self._monotonic())

    async def _read_cluster(self, name: str) -> None:
        """Read one cluster, and schedule its next read, after an error too."""
        retry_in = None
        try:
            await self._record_jobs(name, await self._read_jobs(name))
        except (AtlasError, CancellationError) as error:
            retry_in = self._record_failure(name, error)
        except Exception:
            log.exception("cluster read failed", project=self._project_id, cluster=name)
        else:
            self._record_success(name)
        self._schedule.reschedule(name, self._monotonic(), retry_in)

    async def _read_jobs(self, name: str) -> ReadItems[RestoreJob]:
        with self._budget.call(reserve=RESERVE):
            try:
                return await self._atlas.restore_jobs(self._project_id, name, max_attempts=1)
            except (ClusterNotFound, WrongClusterKind):
                return ReadItems()  # deleted since the list was read, or a kind without such jobs

    async def _record_jobs(self, name: str, jobs: ReadItems[RestoreJob]) -> None:
        """Compare with the record, unless the last read recorded the same states."""
        unread = [(job_id, UNREAD) for job_id in jobs.unread]
        states = frozenset([*((job.id, str(job.state)) for job in jobs), *unread])
        if self._recorded.get(name) == states:
            return
        self._report_unread(name, jobs.unread_text("job"))
        changes = await self._store.record_jobs(self._project_id, name, jobs, jobs.unread)
        if changes is None:
            self._renew_at = self._monotonic()  # another replica holds the lease
            return
        self._recorded[name] = states
        for change in changes:
            place = {"project": self._project_id, "cluster": name}
            log.info("restore job seen", **place, job=change.job_id, state=str(change.state))
        if changes:
            self._on_change()

    def _record_success(self, name: str) -> None:
        self._rate_limited = 0
        self._on_read()
        if self._failures.pop(name, 0):
            log.info("watch reads the cluster again", project=self._project_id, cluster=name)

    def _record_failure(self, name: str, error: Exception) -> float:
        """Return the seconds until the retry; pause the whole project where that helps."""
        place = {"project": self._project_id, "cluster": name or None}
        self._failures[name] += 1
        emit = log.warning if self._failures[name] == 1 else log.info
        emit("watch read failed", **place, why=str(error), times=self._failures[name])
        if seconds := self._project_pause(error):
            self._paused_until = max(self._paused_until, self._monotonic() + seconds)
            return 0.0  # read first after the pause
        return retry_interval(self._interval, self._failures[name])

    def _project_pause(self, error: Exception) -> float:
        if isinstance(error, RateLimited):
            # Concurrent reads that get a 429 count as one.
            self._rate_limited += self._monotonic() >= self._paused_until
            return rate_limit_backoff(max(self._rate_limited, 1), error.retry_after, self._jitter())
        if isinstance(error, LedgerError):
            return 0.0
        if isinstance(error, CancellationError):
            return self._timings.rate_limit_pause
        return self._timings.key_refused_pause if isinstance(error, PROJECT_ERRORS) else 0.0
