"""Watches a project for new downloads: by its activity feed, and by rounds over its clusters."""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import TypeAlias

import structlog

from bot.atlas import (
    AtlasError,
    Priority,
    ReadItems,
    RestoreJob,
    WrongClusterKind,
    created_at,
)
from bot.cancellation.download import LINK_WAIT
from bot.cancellation.errors import CancellationError
from bot.cancellation.starter import TOLERANCE
from bot.services.feed import Feed
from bot.services.projects import Project
from bot.storage.download_store import DownloadStore, Listing
from bot.tasks import log_errors, wait_up_to

FEED_INTERVAL = 8.0  #: seconds between two reads of a project's activity feed
CONCURRENT_READS = 8  #: clusters of one project that are read side by side
#: After an event of a start all clusters are read until its job is listed: seconds before each
#: sweep over them.
SWEEPS_AFTER = (0.0, 3.0, 6.0, 9.0)
#: Seconds for which the activity feed waits for the first look, where that takes longer.
FIRST_LOOK_WITHIN = 30.0
RETRY = 5.0  #: seconds before the watch is started again, if the database does not answer

_Signature: TypeAlias = tuple[object, ...]

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Watch:
    """The watch of one project."""

    project: Project
    feed: Feed
    downloads: DownloadStore
    on_round: Callable[[datetime], None]  #: called with the begin of each complete look
    interval: float  #: seconds between the starts of two rounds
    now: Callable[[], datetime]
    _: KW_ONLY
    monotonic: Callable[[], float] = time.monotonic
    _clusters: frozenset[str] = field(default=frozenset(), init=False)
    _signatures: dict[str, _Signature] = field(default_factory=dict, init=False)
    #: When the jobs of the last list of each cluster were started.
    _starts: dict[str, set[datetime]] = field(default_factory=dict, init=False)
    _failing: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._events: list[datetime] = []  # restore requests for which no sweep has begun yet
        self._has_events = asyncio.Event()
        self._wants_feed = asyncio.Event()
        self._has_looked = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; `start` comes first."""
        async with asyncio.TaskGroup() as group:
            for loop in (self._follow_feed, self._rounds, self._sweeps):
                group.create_task(loop(), name=f"{loop.__name__} {self.project.id}")

    async def start(self, at: datetime) -> None:
        """Store the first start of the watch: downloads that are older are not new."""
        while True:
            with log_errors("watch not started", project=self.project.id):
                await self.downloads.start_watch(self.project.id, at)
                return
            await asyncio.sleep(RETRY)

    async def _follow_feed(self) -> None:
        """Read the feed again and again, once the first look at the clusters is over."""
        await wait_up_to(FIRST_LOOK_WITHIN, self._has_looked)
        while True:
            self._wants_feed.clear()
            with log_errors("activity feed not followed", project=self.project.id):
                if events := await self.feed.read():
                    self._events += events
                    self._has_events.set()
            await wait_up_to(self._until_next_feed(), self._wants_feed)

    def _until_next_feed(self) -> float:
        """Return the seconds; from `covers_next_at` on, *Let it run* is to count."""
        at = self.feed.covers_next_at
        until = (at - self.now()).total_seconds() if at else FEED_INTERVAL
        return min(FEED_INTERVAL, max(0.0, until))

    async def _rounds(self) -> None:
        """Read all clusters in each interval."""
        while True:
            began, at = self.monotonic(), self.now()
            # Without any cluster the process has not looked yet.
            priority = Priority.ROUND if self._clusters else Priority.FIRST_LOOK
            with log_errors("watch round failed", project=self.project.id):
                if await self._read_all(priority):
                    self.on_round(at)
            self._has_looked.set()
            await asyncio.sleep(max(0.0, began + self.interval - self.monotonic()))

    async def _sweeps(self) -> None:
        """After a restore request in the feed, read all clusters until its job is listed."""
        while True:
            await self._has_events.wait()
            self._has_events.clear()
            events, self._events = self._events, []
            for pause in SWEEPS_AFTER:
                await asyncio.sleep(pause)
                with log_errors("watch sweep failed", project=self.project.id):
                    await self._read_all(Priority.WATCH)
                events = [event for event in events if not self._is_listed(event)]
                if not events:
                    break

    def _is_listed(self, event: datetime) -> bool:
        starts = (start for known in self._starts.values() for start in known)
        return any(abs(event - start) <= TOLERANCE for start in starts)

    async def _read_all(self, priority: Priority) -> bool:
        """Read the list of clusters, and each cluster; whether all could be read."""
        is_complete = await self._list_clusters(priority)
        limit = asyncio.Semaphore(CONCURRENT_READS)

        async def read(cluster: str) -> bool:
            async with limit:
                return await self._read_cluster(cluster, priority)

        results = await asyncio.gather(*(read(cluster) for cluster in sorted(self._clusters)))
        return is_complete and all(results)

    async def _list_clusters(self, priority: Priority) -> bool:
        try:
            clusters = await self.project.gateway.clusters(priority)
        except AtlasError as error:
            self._report_failure("", error)
            return False
        self._failing.discard("")
        self._clusters = frozenset(clusters) | (self._clusters if clusters.unread else frozenset())
        return not clusters.unread

    async def _read_cluster(self, cluster: str, priority: Priority) -> bool:
        """Read one cluster and store what changed; whether it could be read."""
        read_at = self.now()
        try:
            jobs = await self._jobs(cluster, priority)
            await self._record(cluster, jobs, jobs.read_at or read_at)
        except (AtlasError, CancellationError) as error:
            self._report_failure(cluster, error)
            return False
        self._failing.discard(cluster)
        return True

    async def _jobs(self, cluster: str, priority: Priority) -> ReadItems[RestoreJob]:
        try:
            return await self.project.gateway.jobs(cluster, priority)
        except WrongClusterKind:
            return ReadItems()  # a kind without such jobs

    async def _record(self, cluster: str, jobs: ReadItems[RestoreJob], read_at: datetime) -> None:
        """Store a list of jobs, unless it shows the same as the last one."""
        self._starts[cluster] = {created_at(job.id) for job in jobs}
        signature = _signature(jobs, jobs.unread, read_at)
        if self._signatures.get(cluster) == signature:
            return
        if jobs.unread:
            why = jobs.unread_text("job")
            log.warning("left out", project=self.project.id, cluster=cluster, why=why)
        listing = Listing(
            project_id=self.project.id,
            cluster=cluster,
            jobs=jobs,
            read_at=read_at,
        )
        policy = self.project.policies.of(cluster)
        first_seen = await self.downloads.record_listing(listing, policy)
        if first_seen:  # the feed may name who started them
            self._wants_feed.set()
        self._signatures[cluster] = signature

    def _report_failure(self, cluster: str, error: Exception) -> None:
        """Warn once of what cannot be read."""
        emit = log.info if cluster in self._failing else log.warning
        emit("watch read failed", project=self.project.id, cluster=cluster or None, why=str(error))
        self._failing.add(cluster)


def _signature(
    jobs: Collection[RestoreJob], unread: Collection[str], read_at: datetime
) -> _Signature:
    """Return what a list shows; also whether the expected time of each link has passed."""

    def facts(job: RestoreJob) -> tuple[object, ...]:
        is_due = not job.is_over and read_at >= created_at(job.id) + LINK_WAIT
        return (job, is_due)

    return (*map(facts, jobs), *unread)
