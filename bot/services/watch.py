"""Watches a project for new restore jobs: by its activity feed, and by rounds over its clusters."""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

import structlog

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    JobRef,
    RateLimited,
    ReadItems,
    RestoreJob,
    WrongClusterKind,
    created_at,
)
from bot.cancellation.errors import CancellationError, RateLimitReserved
from bot.services.job_search import PROJECT_ERRORS
from bot.services.jobs import LOOK_BACK, NEVER, FeedMonitor
from bot.services.projects import Project, Projects
from bot.services.rate_limit import CallPacer, Rank, TokenBucket
from bot.storage.watch_store import CLUSTER_LIST, WatchStore
from bot.tasks import log_errors
from bot.timings import DEFAULT_TIMINGS, Timings

MAX_CONCURRENT_READS = 8  #: of one project
RESERVE = 0.5  #: the fraction of a project's rate limit that the watch leaves for people
#: The token bucket of a project: its size, and the tokens reserved for reads after an event. With
#: `watch_read_interval` reads stay below 125 a minute: a quarter of Atlas's limit.
MAX_BURST = 30
URGENT_BURST = 25
FIRST_COST = 0.5  #: of a cluster's first read, in call intervals
LIST_OFTEN_BELOW = 60.0  #: interval below which the list of clusters is read in each round
MISSING_AFTER = 60.0  #: seconds after which a listed cluster that is not found has no jobs
MAX_FEED_DELAY = 4.0  #: seconds after which a read of a feed that waits for its turn is urgent
RATE_LIMIT_PAUSE = 10.0  #: seconds after a 429 without Retry-After, as Atlas's documentation says

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Watcher:
    projects: Projects
    project_id: str
    store: WatchStore  #: compares each read with the last one
    feed: FeedMonitor  #: a restore request in it begins an urgent round
    pacer: CallPacer  #: spaces the calls of all watches
    _: KW_ONLY
    interval: float = 60.0  #: seconds between two rounds
    events_interval: float = 15.0  #: seconds between two reads of the activity feed
    timings: Timings = DEFAULT_TIMINGS
    #: Called with the time since when all clusters were read completely, None if not yet.
    on_read: Callable[[datetime | None], None] = lambda _read_at: None
    #: Called when each job that may have the newest event is listed: its starter may be certain.
    on_listed: Callable[[], Awaitable[object]]
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self._reads = TokenBucket(self.timings.watch_read_interval, MAX_BURST, self.monotonic())
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_READS)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._requested = asyncio.Event()  # in the feed, since the last round began
        self._read_for = NEVER  # what was read before it was read again, for the newest event
        self._paused_until = -math.inf
        self._clusters: frozenset[str] = frozenset()
        self._listed_at = -math.inf
        self._list_is_complete = False
        self._stored: tuple[frozenset[str], bool] | None = None  # the last list, and if complete
        self._read_at: dict[str, float] = {}  # when the last complete read of a cluster began
        self._listed: dict[str, datetime | None] = {}  # by the database's clock, None: in part
        self._all_read_at: datetime | None = None  # the earliest of them, by Atlas's clock
        self._soon: set[str] = set()  # clusters that are read again before the next round
        self._failing: dict[str, float] = {}  # of each since when Atlas does not find it, or `inf`
        self._unread: dict[str, str] = {}
        self._recorded: dict[str, tuple[bool, bool, set[tuple[str, str]]]] = {}
        self._newest: dict[str, str] = {}

    @property
    def project(self) -> Project:
        """The project as it is now: a reload replaces its policies."""
        return self.projects.get(self.project_id)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            begun = False
            while True:
                with log_errors("watch not recorded", project=self.project_id):
                    await self.store.record_watch(self.project_id, self._all_read_at)
                    if not begun:
                        for loop in (self._follow_feed, self._poll, self._poll_soon):
                            group.create_task(loop(), name=f"watch {self.project_id}")
                    begun = True
                await self.sleep(self.timings.watch_record_interval)

    async def _follow_feed(self) -> None:
        interval = max(self.events_interval, self.timings.min_events_interval)
        pause = self.jitter() * interval  # spreads many projects
        while True:
            with log_errors("activity feed not followed", project=self.project_id):
                await self._read_feed()
            await self.sleep(pause)
            pause = interval

    async def _read_feed(self) -> None:
        """Read the activity feed; a new request of a restore begins an urgent round."""
        await self._pause()
        late_at = self.monotonic() + MAX_FEED_DELAY
        await self.pacer.wait(lambda: Rank.URGENT if self.monotonic() >= late_at else Rank.REGULAR)
        if requested := await self.feed.read():
            log.info("restore requested", project=self.project_id, events=requested)
            self._requested.set()

    async def _poll(self) -> None:
        """Read all clusters in each interval, and after each request in the feed."""
        due = self.monotonic()
        while True:
            is_round = await self._wait_until(due)
            due = self.monotonic() + self.interval if is_round else due
            with log_errors("watch round failed", project=self.project_id):
                await (self._round() if is_round else self._read_again())

    async def _wait_until(self, due: float) -> bool:
        """Wait until a round is due, or requested; False if clusters are to be read again first."""
        while not self._requested.is_set():
            if (left := due - self.monotonic()) <= 0:
                break
            if self._read_for < self.feed.listed_at <= self.feed.atlas_clock.at(self.monotonic()):
                return False
            await self.sleep(min(left, self.timings.watch_idle_interval))
        return True

    async def _read_again(self) -> None:
        """Read the clusters whose last read may be too early for the job of the newest event."""
        self._read_for, time_at = self.feed.listed_at, self.feed.atlas_clock.at
        early = [n for n in self._clusters if time_at(self._read_at.get(n, 0)) < self._read_for]
        await self._read_clusters(early, Rank.URGENT)
        await self._record_all_read()

    async def _record_all_read(self) -> None:
        """Record since when all clusters were read completely, if the last reads changed that."""
        began = min(self._read_at.get(n, -math.inf) for n in self._clusters or {CLUSTER_LIST})
        if not self._list_is_complete or began == -math.inf:
            return
        before, self._all_read_at = self._all_read_at or NEVER, self.feed.atlas_clock.at(began)
        if self._all_read_at != before:
            self.on_read(self.store.now() - timedelta(seconds=self.monotonic() - began))
            await self.store.record_watch(self.project_id, self._all_read_at)
            if before < self.feed.listed_at <= self._all_read_at:
                await self.on_listed()

    async def _poll_soon(self) -> None:
        """Read often what has an open download, failed, or was not read completely."""
        while True:
            due = self.monotonic() + self.timings.open_job_interval
            with log_errors("watch round failed", project=self.project_id):
                known = self._clusters
                if self._listed_at > -math.inf and not self._list_is_complete:
                    await self._list_clusters()
                    self._soon |= self._clusters - known
                await self._read_clusters(self._soon & self._clusters, Rank.SPARE)
                await self._record_all_read()
            await self.sleep(max(due - self.monotonic(), self.timings.watch_idle_interval))

    async def _round(self) -> None:
        """Read all clusters; a round that no request began ends when one comes."""
        rank = Rank.URGENT if self._requested.is_set() else Rank.REGULAR
        self._requested.clear()
        known = self._clusters
        await asyncio.gather(self._list_if_due(rank), self._read_clusters(known, rank))
        await self._read_clusters(self._clusters - known, rank)
        await self._record_all_read()
        if self._all_read_at is None:
            self.on_read(None)

    async def _list_if_due(self, rank: Rank) -> None:
        """Read the list of clusters unless it is new.

        A new cluster has no snapshot for minutes, so that long rounds need no list each.
        """
        is_often = rank is Rank.URGENT or self.interval < LIST_OFTEN_BELOW
        timings = self.timings
        max_age = timings.cluster_list_max_age if is_often else timings.cluster_list_interval
        if not self._list_is_complete or self.monotonic() >= self._listed_at + max_age:
            await self._list_clusters()

    async def _list_clusters(self) -> None:
        """Read the list of clusters; the known ones stay until it is read."""
        await self._pause()
        await self.pacer.wait(lambda: Rank.URGENT)
        self._listed_at, self._list_is_complete = self.monotonic(), False
        try:
            clusters = await self.project.atlas.clusters(self.project_id)
            self._report_unread(CLUSTER_LIST, clusters.unread_text("cluster"))
            names = frozenset(each.name for each in clusters)
            await self._record_clusters(names, is_complete=not clusters.unread)
        except (AtlasError, CancellationError) as error:
            self._report_failure(CLUSTER_LIST, error)
            return
        self._list_is_complete = not clusters.unread
        self._read_at[CLUSTER_LIST] = self._listed_at
        self._failing.pop(CLUSTER_LIST, None)

    async def _record_clusters(self, clusters: frozenset[str], *, is_complete: bool) -> None:
        """Record which clusters exist; without a complete list no known one counts as deleted."""
        if not is_complete:
            clusters |= self._clusters
        if (clusters, is_complete) == self._stored:
            return
        gone = await self.store.record_clusters(self.project_id, clusters, is_complete=is_complete)
        if is_complete:
            for name in gone:
                await self._record_jobs(name, ReadItems(), self.store.now())
        else:
            clusters |= frozenset(gone)
        self._clusters, self._stored = clusters, (clusters, is_complete)

    async def _read_clusters(self, names: Collection[str], rank: Rank) -> None:
        """Read clusters, the last that had a new job first.

        A request in the feed ends this, unless it is urgent.
        """
        newest_first = sorted(names, key=lambda n: (self._newest.get(n, ""), n), reverse=True)
        async with asyncio.TaskGroup() as group:
            for name in newest_first:
                if not await self._turn(name, rank):
                    break
                group.create_task(self._read_cluster(name))

    async def _turn(self, name: str, rank: Rank) -> bool:
        """Wait until a read may begin; False if a request in the feed comes first."""
        reserve = 0 if rank is Rank.URGENT else URGENT_BURST
        await self._pause()
        while not (reserve and self._requested.is_set()):
            if wait := self._reads.wait(self.monotonic(), reserve=reserve):
                await self.sleep(min(wait, self.timings.watch_idle_interval))
                continue
            self._reads.take(self.monotonic())
            await self.pacer.wait(
                lambda: Rank.URGENT if self._requested.is_set() else rank,
                cost=1.0 if name in self._recorded else FIRST_COST,
            )
            return True
        return False

    async def _pause(self) -> None:
        """Wait while the whole project is paused."""
        while (left := self._paused_until - self.monotonic()) > 0:
            await self.sleep(min(left, self.timings.watch_record_interval))

    async def _read_cluster(self, name: str) -> None:
        """Read a cluster, one read at a time."""
        async with self._slots, self._locks[name]:
            self._soon.add(name)
            with log_errors("cluster read failed", project=self.project_id, cluster=name):
                if self.monotonic() < self._paused_until:
                    return
                began, read_at = self.monotonic(), self.store.now()
                try:
                    jobs = await self._read_jobs(name)
                    await self._record_jobs(name, jobs, read_at)
                    ids = [job.id for job in jobs if job.can_be_cancelled]
                    if running := [JobRef(self.project_id, name, each) for each in ids]:
                        await self.store.record_reads(running, read_at)
                except (AtlasError, CancellationError) as error:
                    self._report_failure(name, error)
                    if not self._stays_missing(name):
                        return
                    jobs, running = ReadItems(), []
                else:
                    self._failing.pop(name, None)
                    self._listed[name] = None if "" in jobs.unread else read_at
                if "" not in jobs.unread:  # a job with an id is recorded, so that it counts
                    self._read_at[name] = began
                if not jobs.unread and not running:
                    self._soon.discard(name)

    def _stays_missing(self, name: str) -> bool:
        """Whether Atlas has not found a listed cluster for so long that no restore begins there."""
        return self.monotonic() >= self._failing.get(name, math.inf) + MISSING_AFTER

    async def _read_jobs(self, name: str) -> ReadItems[RestoreJob]:
        with self.project.backups.call(reserve=RESERVE):
            try:
                return await self.project.atlas.restore_jobs(self.project_id, name, retry=False)
            except WrongClusterKind:
                return ReadItems()  # a kind without such jobs
            except ClusterNotFound:
                self._list_is_complete &= self._stays_missing(name)  # or it was deleted
                raise

    async def _record_jobs(self, name: str, jobs: ReadItems[RestoreJob], read_at: datetime) -> None:
        """Compare with the stored jobs, unless the last read found the same states.

        The first read since the settings have the cluster watched, or its restores, counts too.
        """
        states = {(job.id, str(job.state)) for job in jobs} | {(each, "") for each in jobs.unread}
        policy = self.project.policies.of(name)
        watch_restores = policy.is_watched and policy.watch_restores
        read = policy.is_watched, watch_restores, states
        if self._recorded.get(name) == read:
            return
        self._report_unread(name, jobs.unread_text("job"))
        self._newest[name] = newest = max((job.id for job in jobs), default="")
        if newest and created_at(newest) < self.store.now() + LOOK_BACK:  # no id of another kind
            self.feed.atlas_clock.saw(created_at(newest), self.monotonic())
        await self.store.record_jobs(
            self.project_id,
            name,
            jobs,
            jobs.unread,
            read_at=read_at,
            lacked_at=self._listed.get(name),
            is_watched=policy.is_watched,
            watch_restores=watch_restores,
        )
        self._recorded[name] = read

    def _report_unread(self, name: str, why: str) -> None:
        """Warn of what could not be read: once, and again when its number changes."""
        if why and self._unread.get(name) != why:
            log.warning("left out", project=self.project_id, cluster=name or None, why=why)
        self._unread[name] = why

    def _report_failure(self, name: str, error: Exception) -> None:
        """Warn once that a cluster or the list cannot be read; pause the project if that helps."""
        emit = log.info if name in self._failing else log.warning
        emit("watch read failed", project=self.project_id, cluster=name or None, why=str(error))
        since = min(self._failing.get(name, math.inf), self.monotonic())
        self._failing[name] = since if isinstance(error, ClusterNotFound) else math.inf
        self._paused_until = max(self._paused_until, self.monotonic() + self._pause_after(error))

    def _pause_after(self, error: Exception) -> float:
        if isinstance(error, RateLimited):
            return (error.retry_after or RATE_LIMIT_PAUSE) * (1 + self.jitter() / 10)
        if isinstance(error, RateLimitReserved):
            return self.timings.rate_limit_pause
        return self.timings.key_refused_pause if isinstance(error, PROJECT_ERRORS) else 0.0
