"""Finds out who started a job and when its link goes live, and keeps what is shown up to date."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

import structlog

from bot.atlas import AtlasError, JobRef, RestoreJob
from bot.cancellation.errors import CancellationError
from bot.cancellation.job import TO_COME, USUAL_WAIT, Job, differ
from bot.cancellation.lifecycle import Request
from bot.cancellation.starter import StartedBy, StarterStatus, started_by
from bot.services.activity_feed import ActivityFeeds, Feed
from bot.services.projects import Project, Projects
from bot.services.search_results import ClusterRef
from bot.storage.job_store import JobStore, KnownJob
from bot.tasks import log_errors
from bot.timings import Timings

#: Seconds for which the details of a job wait for the activity feed; it is added later if slower.
FEED_TIMEOUT = 0.2
STARTER_TIMEOUT = 1.0  #: seconds for which a decision about a quarantine waits for the feed
#: Maximum age of the feed for followed jobs, in intervals: as old as a watch leaves it, so that a
#: watched project's feed is not read twice.
FEED_AGE = 2.5
MAX_CONCURRENT_READS = 8  #: concurrent calls to Atlas

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Jobs:
    """What is known about jobs: for dialogs and lists on demand, for messages periodically."""

    projects: Projects
    store: JobStore
    feeds: ActivityFeeds
    _: KW_ONLY
    now: Callable[[], datetime]
    on_change: Callable[[], None] = lambda: None  #: called after changes that messages show
    interval: float = Timings.job_facts_interval
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_READS)
    )

    async def of_job(
        self, ref: JobRef, read: RestoreJob, feed: Feed | None
    ) -> tuple[Job, Request | None]:
        """Return a job that was read, recorded if that is new, and its open request.

        Raises `StorageError`.
        """
        known = await self.store.known(ref)
        return await self._record(known, read, feed), known.request

    async def of_jobs(
        self,
        found: Collection[tuple[JobRef, RestoreJob]],
        *,
        timeout: float = FEED_TIMEOUT,
        stored: bool = True,
        other_jobs: Sequence[str] = (),
    ) -> dict[JobRef, Job]:
        """Return the jobs of a list; nothing is recorded; raises `StorageError`.

        The list waits `timeout` seconds for the activity feed. Unless `stored`, the feed alone is
        used, and not the database. `other_jobs` are the ids of jobs that may have the same events.
        """
        now, reads = self.now(), dict(found)
        known = {ref: Job.new(ref, USUAL_WAIT, now) for ref in reads}
        if stored:
            known = await self.store.get(reads)
        refs = [ref for ref, job in known.items() if not job.started_by.settled]
        read = await asyncio.gather(*(self.feeds.read(ref, timeout=timeout) for ref in refs))
        feeds = dict(zip(refs, read, strict=True))
        others, now = [*other_jobs, *(ref.job_id for ref in reads)], self.now()
        return {
            ref: job.observe(
                now,
                reads[ref],
                self._starter(KnownJob(job=job, other_jobs=others), feeds.get(ref)),
            )
            for ref, job in known.items()
        }

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
        found = self._starter(known, feed)
        if found is None or not found.supersedes(known.job.started_by):
            return False
        await self.store.record(ref, None, found)
        return True

    async def starter_of(self, ref: JobRef) -> StartedBy:
        """Return who started a job, from the database or the activity feed as it is now."""
        job = (await self.store.get([ref]))[ref]
        if job.started_by.settled:
            return job.started_by
        feed = await self.feeds.read(ref, timeout=STARTER_TIMEOUT, max_age=0.0)
        known = await self.store.known(ref)
        return known.job.observe(self.now(), None, self._starter(known, feed)).started_by

    async def run(self) -> None:
        """Follow jobs until cancelled; errors are logged and the next round tries again."""
        while True:
            await self.sleep(self.interval)
            with log_errors("jobs not followed"):
                await self.follow()

    async def follow(self) -> None:
        """Read the jobs of waiting requests, and search for starters that are not known yet."""
        followed = await self.store.followed()
        await asyncio.gather(*(self._follow(each) for each in followed))

    async def _follow(self, known: KnownJob) -> None:
        ref, read, feed = known.job.ref, None, None
        async with self.slots:
            if known.waits:
                read = await self._read_job(ref)
            if not known.job.started_by.settled:
                feed = await self.feeds.read(ref, max_age=FEED_AGE * self.interval)
        if await self._record(known, read, feed) != known.job or known.waits:
            self.on_change()

    async def _read_job(self, ref: JobRef) -> RestoreJob | None:
        project = self.projects.get_or_none(ref.project_id)
        if project is None:
            return None
        try:
            with project.backups.call():
                return await project.atlas.restore_job(ref)
        except (AtlasError, CancellationError) as error:
            log.info("waiting job not read", job=ref.job_id, why=str(error))
            return None

    def _starter(self, known: KnownJob, feed: Feed | None) -> StartedBy | None:
        """Return what the feed has, or None if there is nothing to find out."""
        ref = known.job.ref
        project = self.projects.get_or_none(ref.project_id)
        if known.job.started_by.settled or feed is None or project is None:
            return None
        if feed.events is None:
            return StartedBy(StarterStatus.NOT_KNOWN)
        return started_by(
            ref.job_id,
            feed.events,
            read_at=feed.read_at,
            own_key=project.atlas.key_id,
            other_jobs=known.other_jobs,
            all_read_at=known.all_read_at,
        )

    async def _record(self, known: KnownJob, read: RestoreJob | None, feed: Feed | None) -> Job:
        """Record what is new; a request that waits may lack the event of a live link."""
        found = self._starter(known, feed)
        updated = known.job.observe(self.now(), read, found)
        may_lack_event = known.waits and updated.phase not in TO_COME
        if not (differ(known.job, updated) or may_lack_event):
            return known.job
        return await self.store.record(known.job.ref, read, found)
