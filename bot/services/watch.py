"""Polls the clusters of a project, to detect new restore jobs and their changes."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any

import structlog

from bot.atlas import AtlasError, ClusterNotFound, JobRef, ReadItems, RestoreJob, WrongClusterKind
from bot.cancellation.errors import CancellationError
from bot.services.activity_feed import FeedMonitor
from bot.services.poll_schedule import PollSchedule, ReadFailures, feed_rank, list_interval
from bot.services.projects import Project
from bot.services.rate_limit import CallPacer, TokenBucket
from bot.storage.watch_store import WatchStore
from bot.tasks import cancel_and_wait, log_errors
from bot.timings import DEFAULT_TIMINGS, Timings

SHORTEST_PAUSE = 0.005  #: seconds until the next check of what is due, at least
#: Concurrent reads of one project: regular ones, and the maximum with reads after an event.
MAX_CONCURRENT_READS = 8
MAX_URGENT_READS = 16
RESERVE = 0.5  #: the fraction of a project's rate limit that the watch leaves for people
#: The token bucket of a project: its size, and the tokens reserved for reads after an event. With
#: `watch_read_interval` reads stay below 125 a minute: a quarter of Atlas's limit.
MAX_BURST = 30
URGENT_BURST = 25
#: Ranks of calls that wait for their turn; a regular read has the time when it was due.
LIST_RANK, URGENT_RANK = -2.0, -1.0
FULL_PAUSE = 0.1  #: seconds between two checks while all reads are in flight
LIST_MAX_AGE = 15.0  #: after an event the list of clusters is read again if it is older, in seconds
FIRST_COST = 0.5  #: cost of a call in the first complete read, in call intervals
GAP_FACTOR = 3  #: how much faster a project is polled once its feed missed a download
CLUSTER_LIST = ""  #: in the place of a cluster's name: the list of clusters
UNREAD = "unread"  #: the state of a job that could not be read
UNREAD_RETRY = 20.0  #: seconds until a list with an unreadable item is read again, at most

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Watcher:
    """Watches one project."""

    project: Project
    store: WatchStore  #: compares each read with the last one
    feed: FeedMonitor  #: a restore request in it makes the watch read all clusters immediately
    pacer: CallPacer  #: spaces the calls of all watches
    _: KW_ONLY
    interval: float = 60.0  #: seconds between two reads of each cluster
    events_interval: float = 15.0  #: seconds between two reads of the activity feed
    timings: Timings = DEFAULT_TIMINGS
    on_change: Callable[[], None] = lambda: None  #: called when there is something to announce
    on_read: Callable[[], None] = lambda: None  #: called after each successful read
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self._id = self.project.id
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = ReadFailures(
            self._id, self.interval, self.timings, self.monotonic, self.jitter
        )
        self._reads = TokenBucket(self.timings.watch_read_interval, MAX_BURST, self.monotonic())
        self._schedule = PollSchedule(min(self.interval, self.timings.first_look))
        self._listed_at = self._list_at = self._feed_at = self._record_at = self.monotonic()
        self._events_delay = self.jitter() * self._feed_interval  # spreads many projects
        self._has_gap: bool | None = None
        self._is_requested = False
        self._clusters: frozenset[str] | None = None
        self._unread: dict[str, str] = {}
        self._recorded: dict[str, frozenset[tuple[str, str]]] = {}
        self._newest: dict[str, str] = {}
        self._last_read: dict[str, float] = {}
        self._complete: dict[str, datetime] = {}  # when the last complete read began
        self._read_again_at = math.inf

    @property
    def _feed_interval(self) -> float:
        return max(self.events_interval, self.timings.min_events_interval)

    @property
    def _poll_interval(self) -> float:
        return self.interval / GAP_FACTOR if self._has_gap else self.interval

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                pause = self.timings.watch_record_interval
                with log_errors("watch step failed", project=self._id):
                    pause = await self._do_due()
                await self.sleep(pause)
        finally:
            await cancel_and_wait(*self._tasks)

    async def _do_due(self) -> float:
        """Do what is due; return the seconds until the next step."""
        now = self.monotonic()
        if now >= self._record_at:
            await self._record_watch(now)
        if now < self._failures.paused_until:
            return min(self._failures.paused_until, self._record_at) - now
        if now >= self._list_at:
            self._listed_at, self._list_at = now, now + list_interval(self.interval, self.timings)
            self._start(self._list_clusters(), "watch cannot list clusters")
        if now >= self._feed_at:
            self._feed_at = math.inf  # until it is read
            self._start(self._follow_feed(), "activity feed not followed")
        if now >= self._read_again_at:
            self._read_again_at = math.inf
            self._read_all_now()
        pause = self._start_due_read(now)
        return min(max(pause, SHORTEST_PAUSE), self.timings.watch_idle_interval)

    def _start_due_read(self, now: float) -> float:
        """Start the read that is due; return the seconds until the next check."""
        due = self._schedule.next_due
        if due > now:
            return min(due, self._list_at, self._feed_at, self._record_at) - now
        is_urgent = due < 0  # see `next_due`
        most, reserve = (MAX_URGENT_READS, 0) if is_urgent else (MAX_CONCURRENT_READS, URGENT_BURST)
        if self._schedule.in_flight >= most:
            return FULL_PAUSE
        if wait := self._reads.wait(now, reserve=reserve):
            return wait
        if name := self._schedule.pop_due(now):
            self._reads.take(now)
            self._start(self._read_cluster(name, due), "cluster read failed", cluster=name)
        return SHORTEST_PAUSE

    def _start(
        self, work: Coroutine[Any, Any, None], event: str, cluster: str | None = None
    ) -> None:
        async def supervise() -> None:
            with log_errors(event, project=self._id, cluster=cluster):
                await work

        task = asyncio.create_task(supervise(), name=f"watch {self._id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record_watch(self, now: float) -> None:
        self._record_at = now + self.timings.watch_record_interval
        await self.store.record_watch(self._id, self._all_read_at())
        if self._has_gap is None:
            self._has_gap = await self.store.has_feed_gap(self._id)

    def _all_read_at(self) -> datetime | None:
        """Return the time at or after which all clusters were read, by the database's clock."""
        names = self._clusters or frozenset()
        is_partial = self._unread.get(CLUSTER_LIST) or self._failures.counts[CLUSTER_LIST]
        if is_partial or not names <= self._complete.keys():
            return None  # after an error there may be clusters that are not known
        return min((self._complete[name] for name in names), default=None)

    async def _follow_feed(self) -> None:
        """Read the activity feed; after a request of a restore, read all clusters immediately."""
        due = self.monotonic()
        await self.pacer.wait(lambda: feed_rank(due, self.monotonic()))
        self._feed_at = self.monotonic() + (self._events_delay or self._feed_interval)
        self._events_delay = 0.0
        requested, missing = await self.feed.read()
        if requested:
            log.info("restore requested", project=self._id, events=requested)
            self._list_at = min(self._list_at, self._listed_at + LIST_MAX_AGE)
            self._read_all_now()
            if self.feed.unsettled > 0 and self.project.policy.quarantine.expected:
                self._read_again_at = self.monotonic() + self.feed.unsettled
        if missing and not self._has_gap:
            await self._record_gap(missing[0])

    def _read_all_now(self) -> None:
        """Read all clusters before those of other projects, the last that had a new job first."""
        self._is_requested = self._clusters is None  # then once they are listed
        newest_first = sorted(
            self._clusters or (), key=lambda name: self._newest.get(name, ""), reverse=True
        )
        self._schedule.prioritize(newest_first)

    async def _record_gap(self, ref: JobRef) -> None:
        """Poll more often: the feed does not show every download."""
        self._has_gap = True
        await self.store.record_feed_gap(self._id)
        log.warning(
            "the activity feed did not show a download: the project is polled more often",
            project=self._id,
            cluster=ref.cluster_name,
            job=ref.job_id,
            interval=self._poll_interval,
        )

    async def _list_clusters(self) -> None:
        """Read the list of clusters; the known ones stay until it is read."""
        await self.pacer.wait(lambda: LIST_RANK)
        try:
            clusters = await self.project.atlas.clusters(self._id)
            self._report_unread(CLUSTER_LIST, clusters.unread_text("cluster"))
            names = frozenset(each.name for each in clusters)
            await self._record_clusters(names, is_complete=not clusters.unread)
            if clusters.unread:
                self._list_at = min(self._list_at, self.monotonic() + UNREAD_RETRY)
        except (AtlasError, CancellationError) as error:
            self._list_at = self.monotonic() + self._failures.record(CLUSTER_LIST, error)

    def _report_unread(self, name: str, why: str) -> None:
        """Warn of what could not be read: once, and again when its number changes."""
        if why and self._unread.get(name) != why:
            log.warning("left out", project=self._id, cluster=name or None, why=why)
        self._unread[name] = why

    async def _record_clusters(self, clusters: frozenset[str], *, is_complete: bool) -> None:
        """Record which clusters exist; without a complete list no known one counts as deleted."""
        if not is_complete:
            clusters |= self._clusters or frozenset()
        if clusters != self._clusters:
            gone = await self.store.record_clusters(self._id, clusters)
            if is_complete:
                for name in gone:
                    await self._record_jobs(name, ReadItems())
            else:
                clusters |= frozenset(gone)
            self._clusters = clusters
        self._failures.clear(CLUSTER_LIST)
        self.on_read()
        self._schedule.set_clusters(clusters, self.monotonic())
        if self._is_requested:
            self._read_all_now()

    async def _read_cluster(self, name: str, due: float) -> None:
        """Read one cluster in its turn, and schedule its next read, after an error too."""
        # By the regular interval: more frequent reads of one project delay no other's.
        regular = self._last_read.get(name, due - self.interval) + self.interval

        def rank() -> float:
            return URGENT_RANK if self._schedule.is_urgent(name) else regular

        await self.pacer.wait(rank, cost=1.0 if name in self._recorded else FIRST_COST)
        if self.monotonic() < self._failures.paused_until:
            self._schedule.reschedule(name, self._failures.paused_until)
            return
        self._schedule.begin(name)
        self._last_read[name] = self.monotonic()
        next_read = self._last_read[name] + self._poll_interval
        try:
            began = self.store.now()
            jobs = await self._read_jobs(name)
            if any(job.can_be_cancelled for job in jobs):
                soon = self._last_read[name] + self.timings.open_job_interval
                next_read = min(next_read, soon)
            await self._record_jobs(name, jobs)
            if jobs.unread:
                next_read = min(next_read, self.monotonic() + UNREAD_RETRY)
            elif name in self._recorded:
                self._complete[name] = began
            is_last_urgent = due < 0 <= self._schedule.next_due
            if is_last_urgent:
                self._record_at = self.monotonic()  # stores that the clusters were read
            self._failures.clear(name)
            self.on_read()
        except (AtlasError, CancellationError) as error:
            next_read = self.monotonic() + self._failures.record(name, error)
        finally:
            self._schedule.reschedule(name, next_read)

    async def _read_jobs(self, name: str) -> ReadItems[RestoreJob]:
        with self.project.backups.call(reserve=RESERVE):
            try:
                return await self.project.atlas.restore_jobs(self._id, name, max_attempts=1)
            except (ClusterNotFound, WrongClusterKind):
                return ReadItems()  # deleted since the list was read, or a kind without such jobs

    async def _record_jobs(self, name: str, jobs: ReadItems[RestoreJob]) -> None:
        """Compare with the stored jobs, unless the last read found the same states."""
        unread = [(job_id, UNREAD) for job_id in jobs.unread]
        states = frozenset([*((job.id, str(job.state)) for job in jobs), *unread])
        if self._recorded.get(name) == states:
            return
        self._report_unread(name, jobs.unread_text("job"))
        self._newest[name] = max((job.id for job in jobs), default="")
        changes = await self.store.record_jobs(self._id, name, jobs, jobs.unread)
        self._recorded[name] = states
        for change in changes:
            place = {"project": self._id, "cluster": name}
            log.info("restore job seen", **place, job=change.job_id, state=str(change.state))
            if change.is_new:
                self.feed.expect(JobRef(self._id, name, change.job_id))
        if changes:
            self.on_change()
