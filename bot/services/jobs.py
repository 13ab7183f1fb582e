"""Finds out who started a job and when its link goes live, and keeps what is shown up to date."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from bot.atlas import (
    ActivityEvent,
    AtlasClock,
    AtlasError,
    AtlasRejected,
    DeliveryType,
    JobRef,
    RateLimited,
    RestoreJob,
)
from bot.cancellation.errors import CancellationError, RateLimitReserved
from bot.cancellation.job import TO_COME, USUAL_WAIT, Job
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.starter import LISTED_AFTER, StartedBy, StarterStatus, started_by
from bot.services.job_search import ClusterRef
from bot.services.projects import Project, Projects
from bot.storage.job_store import JobStore, KnownJob
from bot.tasks import AsyncCache
from bot.timings import Timings

MAX_AGE = 6.0  #: seconds for which a read of a feed is served from the cache
TIMEOUT = 15.0  #: seconds for one read with all its pages
#: One read reaches back so far; the feed of an older job is read from its own start.
LOOK_BACK = timedelta(hours=24)
RECENT = timedelta(minutes=10)  #: how young events must be for a monitor's first read to count them
FRESH = 1.0  #: seconds for which a read that was made for another purpose counts as fresh
#: Seconds for which the details of a job wait for the activity feed; it is added later if slower.
FEED_TIMEOUT = 0.2
STARTER_TIMEOUT = 1.0  #: seconds for which a decision about a quarantine waits for the feed
#: Maximum age of a followed job's feed, in intervals: with one more an event is shown within 20 s.
FEED_AGE = 1.5
MAX_CONCURRENT_READS = 8  #: concurrent calls to Atlas
#: In the place of a time: not all clusters could be read.
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Feed:
    """The restores that were requested in a project."""

    read_at: datetime  #: when the read began, by the clock of the database
    events: tuple[ActivityEvent, ...] | None  #: newest first; None if Atlas refuses the feed


class ActivityFeeds:
    """The activity feeds of projects; one read serves all jobs of a project for some seconds."""

    def __init__(
        self,
        projects: Projects,
        now: Callable[[], datetime],  # the clock of the database
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._projects = projects
        self._now = now
        self.monotonic = monotonic
        self._cache = AsyncCache(self._load, monotonic)
        self._free_at: dict[str, float] = {}  # when Atlas's Retry-After is over, by project

    async def close(self) -> None:
        """Cancel the reads in flight."""
        await self._cache.close()

    async def read(
        self, ref: JobRef, *, timeout: float = TIMEOUT, max_age: float = MAX_AGE
    ) -> Feed | None:
        """Return the feed around a job's start; None if it could not be read in time."""
        is_old = ref.started_at < self._now() - LOOK_BACK
        start = ref.started_at if is_old else None
        return await self.read_since(ref.project_id, start, timeout=timeout, max_age=max_age)

    async def read_since(
        self, project_id: str, start: datetime | None, *, timeout: float = TIMEOUT, max_age: float
    ) -> Feed | None:
        """Return the feed since an old job's start, or else of the last `LOOK_BACK`."""
        try:
            return await self._cache.get((project_id, start), max_age=max_age, timeout=timeout)
        except (AtlasError, RateLimitReserved, TimeoutError):
            return None

    async def _load(self, key: tuple[str, datetime | None]) -> Feed:
        project_id, started_at = key
        now = self._now()
        project = self._projects.get_or_none(project_id)
        if project is None:
            return Feed(now, None)
        if self.monotonic() < self._free_at.get(project_id, 0.0):
            raise RateLimitReserved
        since = started_at - timedelta(minutes=1) if started_at else now - LOOK_BACK
        try:
            events = await project.atlas.events(project_id, since)
        except AtlasRejected:
            return Feed(now, None)
        except RateLimited as error:
            self._free_at[project_id] = self.monotonic() + (error.retry_after or 0.0)
            raise
        newest_first = sorted(events, key=lambda each: (each.created, each.id), reverse=True)
        return Feed(now, tuple(newest_first))


class FeedMonitor:
    """The activity feed of one project, as the watch uses it."""

    def __init__(self, project_id: str, feeds: ActivityFeeds) -> None:
        self._project_id = project_id
        self._feeds = feeds
        self._seen: frozenset[str] | None = None
        self._refused = False
        self.atlas_clock = AtlasClock()
        self.listed_at = NEVER  #: by that, when each job that may have the newest event is listed

    async def read(self) -> int:
        """Return how many requests of restores the last read did not have."""
        feed = await self._feeds.read_since(self._project_id, None, max_age=FRESH)
        if feed is None:
            return 0
        self._report_refusal(refused=feed.events is None)
        if feed.events is None:
            return 0
        if feed.events:  # newest first
            self.atlas_clock.saw(feed.events[0].created, self._feeds.monotonic())
            self.listed_at = feed.events[0].created + LISTED_AFTER
        before, self._seen = self._seen, frozenset(event.id for event in feed.events)
        if before is None:
            return sum(event.created >= feed.read_at - RECENT for event in feed.events)
        return len(self._seen - before)

    def _report_refusal(self, *, refused: bool) -> None:
        """Log once that Atlas refuses the feed, and once that it no longer does."""
        if refused and not self._refused:
            log.warning(
                "Atlas refuses the activity feed: downloads are found by polling only, which is "
                "slower, and in quarantine the starter of a download may keep it; cancel-restore "
                "doctor says what to check",
                project=self._project_id,
            )
        elif self._refused and not refused:
            log.info("the activity feed can be read again", project=self._project_id)
        self._refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """What the dialog shows: the job as Atlas has it, and the open request for it, if any."""

    ref: JobRef
    project_name: str
    job: RestoreJob
    open_request: Request | None
    known: Job  #: what is recorded of it
    note: str = ""  #: of the cluster's policy, for people
    feed_is_late: bool = False  #: whether the activity feed was not read in time

    @property
    def state_sentence(self) -> str:
        """Say in which state it is, by all that was read of it: the download, or the restore."""
        state, is_download = self.known.state, self.job.delivery_type == DeliveryType.DOWNLOAD
        return state.sentence if is_download else state.of_restore


@dataclass(eq=False)
class Jobs:
    """What is known about jobs: for dialogs and lists on demand, for messages periodically."""

    projects: Projects
    store: JobStore
    feeds: ActivityFeeds
    _: KW_ONLY
    interval: float = Timings.job_facts_interval  #: seconds between two reads of followed jobs
    slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_READS)
    )

    async def look_up(self, ref: JobRef, *, timeout: float) -> JobDetails:
        """Read the job from Atlas, or raise an `AtlasError`; and the open request for it."""
        project, read_at = self.projects.get(ref.project_id), self.store.now()
        job, feed = await asyncio.gather(
            project.atlas.restore_job(ref, timeout=timeout),
            self.feeds.read(ref, timeout=FEED_TIMEOUT),
        )
        known, earlier = await self.of_job(ref, job, feed, read_at)
        policy = project.policies.of(ref.cluster_name)
        if earlier and earlier.state is State.QUARANTINED and policy.approvals == 0:
            earlier = None  # everybody may cancel at once what is only quarantined
        return JobDetails(
            ref=ref,
            project_name=project.name,
            job=job,
            open_request=earlier,
            known=known,
            note=policy.note,
            feed_is_late=feed is None,
        )

    async def of_job(
        self, ref: JobRef, read: RestoreJob, feed: Feed | None, read_at: datetime
    ) -> tuple[Job, Request | None]:
        """Record a read job; return it and its open request; raises `StorageError`."""
        known = await self.store.known(ref)
        return await self._record(known, read, feed, read_at), known.request

    async def of_jobs(
        self,
        found: Collection[tuple[JobRef, RestoreJob]],
        *,
        timeout: float = FEED_TIMEOUT,
        stored: bool = True,
        other_jobs: Sequence[str] = (),
        unread: Collection[str] = (),
    ) -> dict[JobRef, Job]:
        """Return the jobs of a list; nothing is recorded; raises `StorageError`.

        The list waits `timeout` seconds for the activity feed. Unless `stored`, the feed alone is
        used, and not the database. `other_jobs` are the ids of jobs that may have the same events.
        `unread` has the names of projects with clusters that could not be read.
        """
        now, reads = self.store.now(), dict(found)
        known = {ref: Job.new(ref, USUAL_WAIT, now) for ref in reads}
        if stored:
            known = await self.store.get(reads)
        refs = [ref for ref, job in known.items() if not job.started_by.starter]
        read = await asyncio.gather(*(self.feeds.read(ref, timeout=timeout) for ref in refs))
        feeds = dict(zip(refs, read, strict=True))
        others, now = [*other_jobs, *(ref.job_id for ref in reads)], self.store.now()
        in_part = {project.id for project in self.projects.all if project.name in unread}

        def starter(job: Job) -> StartedBy | None:
            all_read_at = NEVER if job.ref.project_id in in_part else None
            nearby = KnownJob(job=job, other_jobs=others)
            return self._starter(nearby, feeds.get(job.ref), all_read_at)

        return {ref: job.observe(now, reads[ref], starter(job)) for ref, job in known.items()}

    async def recorded_cluster(
        self, job_id: str, projects: Sequence[Project], cluster: str | None
    ) -> ClusterRef | None:
        """Return the cluster of a recorded job, without a call of Atlas; raises `StorageError`."""
        by_id = {project.id: project for project in projects}
        for ref in await self.store.with_id(job_id, by_id):
            if cluster in (None, ref.cluster_name):
                return ClusterRef(project=by_id[ref.project_id], cluster=ref.cluster_name)
        return None

    async def record_late_starter(self, ref: JobRef) -> bool:
        """Wait for a slow read of the feed; record and return whether it has more."""
        feed = await self.feeds.read(ref)
        known = await self.store.known(ref)
        found = self._watched_starter(known, feed)
        if found is None or not found.supersedes(known.job.started_by):
            return False
        await self.store.record(ref, None, found)
        return True

    async def starter_of(self, ref: JobRef) -> StartedBy:
        """Return who started a job, from the database or the activity feed as it is now."""
        job, now = (await self.store.get([ref]))[ref], self.store.now()
        if job.has_settled_starter(now):
            return job.started_by
        feed = await self.feeds.read(ref, timeout=STARTER_TIMEOUT, max_age=0.0)
        known = await self.store.known(ref)
        return known.job.observe(now, None, self._watched_starter(known, feed)).started_by

    async def follow(self) -> None:
        """Read the jobs of requests that wait or failed, and search for unknown starters."""
        await asyncio.gather(*(self._follow(each) for each in await self.store.followed()))

    async def _follow(self, known: KnownJob) -> None:
        ref, read, feed = known.job.ref, None, None
        async with self.slots:
            read_at = self.store.now()
            if known.waits or known.is_unwatched or known.job.has_passed(read_at):
                read = await self._read_job(ref)
            if not known.job.has_settled_starter(self.store.now()):
                feed = await self.feeds.read(ref, max_age=FEED_AGE * self.interval)
        await self._record(known, read, feed, read_at)

    async def _read_job(self, ref: JobRef) -> RestoreJob | None:
        project = self.projects.get_or_none(ref.project_id)
        if project is None:
            return None
        try:
            with project.backups.call():
                return await project.atlas.restore_job(ref)
        except (AtlasError, CancellationError) as error:
            log.info("followed job not read", job=ref.job_id, why=str(error))
            return None

    def _watched_starter(self, known: KnownJob, feed: Feed | None) -> StartedBy | None:
        """Return what the feed has; it becomes certain once the watch, if there is one, read all.

        Then only another event or job changes that, and no new leader, which has read nothing yet.
        """
        project = self.projects.get_or_none(known.job.ref.project_id)
        is_watched = project is not None and project.is_watched
        waits = is_watched and not known.job.started_by.is_certain
        return self._starter(known, feed, (known.all_read_at or NEVER) if waits else None)

    def _starter(
        self, known: KnownJob, feed: Feed | None, all_read_at: datetime | None
    ) -> StartedBy | None:
        """Return what the feed has, or None if there is nothing to find out."""
        ref = known.job.ref
        project = self.projects.get_or_none(ref.project_id)
        is_settled = known.job.has_settled_starter(self.store.now())
        if is_settled or feed is None or project is None:
            return None
        if feed.events is None:
            return StartedBy(StarterStatus.NOT_KNOWN)
        return started_by(
            ref.job_id,
            feed.events,
            read_at=feed.read_at,
            own_key=project.atlas.key_id,
            other_jobs=known.other_jobs,
            all_read_at=all_read_at,
        )

    async def _record(
        self, known: KnownJob, read: RestoreJob | None, feed: Feed | None, read_at: datetime
    ) -> Job:
        """Record what is new; a request that waits may lack the event of a live link."""
        job, found = known.job, self._watched_starter(known, feed)
        updated = job.observe(self.store.now(), read, found, read_at=read_at)
        may_lack_event = known.waits and updated.phase not in TO_COME
        if (updated, updated.read_at) == (job, job.read_at) and not may_lack_event:
            return job
        return await self.store.record(job.ref, read, found, read_at=read_at)
