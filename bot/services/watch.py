"""Polls the clusters of a project, to detect new restore jobs and their changes."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    JobRef,
    ReadItems,
    RestoreJob,
    WrongClusterKind,
)
from bot.cancellation.errors import CancellationError, LedgerError
from bot.services.feed_monitor import FeedMonitor
from bot.services.poll_schedule import PollSchedule, feed_rank, list_interval
from bot.services.projects import Project
from bot.services.rate_limit import CallPacer, TokenBucket
from bot.services.read_failures import ReadFailures
from bot.storage.watch_store import WatchStore
from bot.tasks import cancel_and_wait
from bot.timings import DEFAULT_TIMINGS, Timings

#: Seconds until the next check of what is due, at least.
SHORTEST_PAUSE = 0.005

#: Reads of a project at once, so that a cluster that hangs does not block the others; and with
#: the reads after an event.
MAX_CONCURRENT_READS = 8
MAX_URGENT_READS = 16

#: The fraction of a project's rate limit that the watch leaves for people.
RESERVE = 0.5

#: Reads of a project that may follow each other at once, and those of them that only an event may
#: cause. With `watch_read_interval` they stay below 125 a minute: a quarter of Atlas's limit.
MAX_BURST = 30
URGENT_BURST = 25

#: Ranks of calls that wait for their turn; a regular read has the time when it was due.
LIST_RANK, URGENT_RANK = -2.0, -1.0

#: Seconds between two checks while all reads are in flight.
FULL_PAUSE = 0.1

#: After an event the list of clusters is read again if it is older, in seconds.
LIST_MAX_AGE = 15.0

#: The part of the time between two calls that each call of the first complete look takes.
FIRST_COST = 0.5

#: A project whose feed missed a download is swept so much more often.
GAP_FACTOR = 3

#: The state of a job that could not be read.
UNREAD = "unread"

#: Seconds to release the lease at shutdown.
RELEASE_TIMEOUT = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchIntervals:
    """Seconds between two reads of each cluster, and of the activity feed."""

    clusters: float = 60.0
    events: float = 15.0


class Watcher:
    """Watches one project while this replica holds its lease.

    Args:
        store: holds the lease, and compares each read with the last one.
        feed: says when a restore was requested, so that all clusters are read at once.
        pacer: spaces the calls of all watches.
        timings: the other intervals and pauses of the watch.
        on_change: called when there is something to announce.
        on_read: called after each successful read.
    """

    def __init__(
        self,
        project: Project,
        store: WatchStore,
        feed: FeedMonitor,
        pacer: CallPacer,
        intervals: WatchIntervals,
        *,
        timings: Timings = DEFAULT_TIMINGS,
        on_change: Callable[[], None] = lambda: None,
        on_read: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._project_id = project.id
        self._atlas = project.atlas
        self._budget = project.backups
        self._store = store
        self._feed = feed
        self._pacer = pacer
        self._interval = intervals.clusters
        self._events_interval = max(intervals.events, timings.min_events_interval)
        self._timings = timings
        self._on_change = on_change
        self._on_read = on_read
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._tasks: set[asyncio.Task[None]] = set()
        self._renew_at = monotonic()
        self._failures = ReadFailures(project.id, self._interval, timings, monotonic, jitter)
        self._reads = TokenBucket(timings.watch_read_interval, MAX_BURST, monotonic())
        self._reset()

    def _reset(self) -> None:
        """Forget the state of an earlier lease: another replica may have changed the record."""
        self._schedule = PollSchedule(min(self._interval, self._timings.first_look))
        self._listed_at = self._list_at = self._feed_at = self._monotonic()
        self._events_delay = self._jitter() * self._events_interval  # spreads many projects
        self._has_gap: bool | None = None
        self._is_requested = False
        self._clusters: frozenset[str] | None = None
        self._unread: dict[str, str] = {}
        self._recorded: dict[str, frozenset[tuple[str, str]]] = {}
        self._newest: dict[str, str] = {}
        self._last_read: dict[str, float] = {}

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
        if now < self._failures.paused_until:
            return min(
                self._failures.paused_until - now, self._timings.watch_lease_renewal_interval
            )
        if now >= self._list_at:
            self._listed_at, self._list_at = now, now + list_interval(self._interval, self._timings)
            self._start(self._list_clusters())
        if now >= self._feed_at:
            self._feed_at = math.inf  # until it is read
            self._start(self._follow_feed())
        return self._start_due_read(now)

    def _start_due_read(self, now: float) -> float:
        """Start the read that is due; return the seconds until the next check."""
        due = self._schedule.next_due
        if due > now:
            soonest = min(due, self._list_at, self._feed_at, self._renew_at)
            return self._pause(soonest - now)
        most, reserve = (MAX_URGENT_READS, 0) if due < 0 else (MAX_CONCURRENT_READS, URGENT_BURST)
        if self._schedule.in_flight >= most:
            return FULL_PAUSE
        if wait := self._reads.wait(now, reserve=reserve):
            return self._pause(wait)
        if name := self._schedule.pop_due(now):
            self._reads.take(now)
            self._start(self._read_cluster(name, due))
        return SHORTEST_PAUSE

    def _pause(self, seconds: float) -> float:
        return min(max(seconds, SHORTEST_PAUSE), self._timings.watch_idle_interval)

    async def _follow_feed(self) -> None:
        """Read the activity feed; after a request of a restore, read all clusters at once."""
        due = self._monotonic()
        try:
            await self._pacer.wait(lambda: feed_rank(due, self._monotonic()))
            self._feed_at = self._monotonic() + (self._events_delay or self._events_interval)
            self._events_delay = 0.0
            requested, missing = await self._feed.read()
            if requested:
                log.info("restore requested", project=self._project_id, events=requested)
                self._list_at = min(self._list_at, self._listed_at + LIST_MAX_AGE)
                self._read_at_once()
            for ref in missing:
                await self._record_gap(ref)
        except LedgerError as error:
            log.warning("watch waits for the database", project=self._project_id, why=str(error))
        except Exception:
            log.exception("activity feed not followed", project=self._project_id)

    def _read_at_once(self) -> None:
        """Read all clusters before those of other projects, the last that had a new job first."""
        self._is_requested = self._clusters is None  # then once they are listed
        newest_first = sorted(
            self._clusters or (), key=lambda name: self._newest.get(name, ""), reverse=True
        )
        self._schedule.prioritize(newest_first)

    async def _record_gap(self, ref: JobRef) -> None:
        """Sweep more often: the feed does not show every download."""
        if self._has_gap:
            return
        self._has_gap = True
        await self._store.record_feed_gap(self._project_id)
        log.warning(
            "the activity feed did not show a download: the project is swept more often",
            project=self._project_id,
            cluster=ref.cluster_name,
            job=ref.job_id,
            interval=self._sweep_interval,
        )

    @property
    def _sweep_interval(self) -> float:
        return self._interval / GAP_FACTOR if self._has_gap else self._interval

    async def _renew_lease(self, now: float) -> bool:
        if await self._store.acquire(self._project_id):
            self._renew_at = now + self._timings.watch_lease_renewal_interval
            if self._has_gap is None:
                self._has_gap = await self._store.has_feed_gap(self._project_id)
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
            await self._pacer.wait(lambda: LIST_RANK)
            clusters = await self._atlas.clusters(self._project_id)
            self._report_unread("", clusters.unread_text("cluster"))
            await self._record_clusters(frozenset(each.name for each in clusters))
        except (AtlasError, CancellationError) as error:
            self._list_at = self._monotonic() + self._failures.record("", error)
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
        self._failures.clear("")
        self._on_read()
        self._schedule.set_clusters(clusters, self._monotonic())
        if self._is_requested:
            self._read_at_once()

    async def _read_cluster(self, name: str, due: float) -> None:
        """Read one cluster in its turn, and schedule its next read, after an error too."""
        # By the regular interval: more frequent reads of one project delay no other's.
        regular = self._last_read.get(name, due - self._interval) + self._interval

        def rank() -> float:
            return URGENT_RANK if self._schedule.is_urgent(name) else regular

        await self._pacer.wait(rank, cost=1.0 if name in self._recorded else FIRST_COST)
        if self._monotonic() < self._failures.paused_until:
            self._schedule.reschedule(name, self._failures.paused_until)
            return
        self._schedule.begin(name)
        self._last_read[name] = self._monotonic()
        next_read = self._last_read[name] + self._sweep_interval
        try:
            await self._record_jobs(name, await self._read_jobs(name))
        except (AtlasError, CancellationError) as error:
            next_read = self._monotonic() + self._failures.record(name, error)
        except Exception:
            log.exception("cluster read failed", project=self._project_id, cluster=name)
        else:
            self._failures.clear(name)
            self._on_read()
        self._schedule.reschedule(name, next_read)

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
        self._newest[name] = max((job.id for job in jobs), default="")
        changes = await self._store.record_jobs(self._project_id, name, jobs, jobs.unread)
        if changes is None:
            self._renew_at = self._monotonic()  # another replica holds the lease
            return
        self._recorded[name] = states
        for change in changes:
            place = {"project": self._project_id, "cluster": name}
            log.info("restore job seen", **place, job=change.job_id, state=str(change.state))
            if change.is_new:
                self._feed.expect(JobRef(self._project_id, name, change.job_id))
        if changes:
            self._on_change()
