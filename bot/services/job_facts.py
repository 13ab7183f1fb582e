"""Finds out who started a job and when its link goes live, and keeps what is shown up to date."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

import structlog

from bot.atlas import AtlasError, JobRef, RestoreJob
from bot.cancellation.errors import CancellationError
from bot.cancellation.job_facts import USUAL_WAIT, JobFacts, LinkPhase
from bot.cancellation.lifecycle import UNDECIDED, Request
from bot.cancellation.starter import StartedBy, StarterStatus, started_by
from bot.services.activity_feed import ActivityFeeds, Feed
from bot.services.projects import Project, Projects
from bot.services.search_results import ClusterRef
from bot.storage.job_facts_store import FollowedJob, JobFactsStore, NearbyJobs
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
class JobFactsService:
    """The facts about jobs: for dialogs and lists on demand, for messages periodically."""

    projects: Projects
    store: JobFactsStore
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
        self, ref: JobRef, job: RestoreJob, feed: Feed | None
    ) -> tuple[JobFacts, Request | None]:
        """Return the facts about a job that was read, recorded if new, and its open request.

        Raises `StorageError`.
        """
        known, found, request = await self._known_and_found(ref, feed)
        waits = request is not None and request.state in UNDECIDED
        return await self._record(ref, known, job, found, waits=waits), request

    async def of_jobs(
        self,
        jobs: Collection[tuple[JobRef, RestoreJob]],
        *,
        timeout: float = FEED_TIMEOUT,
        stored: bool = True,
        other_jobs: Sequence[str] = (),
    ) -> dict[JobRef, JobFacts]:
        """Return the facts about jobs for a list; nothing is recorded; raises `StorageError`.

        The list waits `timeout` seconds for the activity feed. Unless `stored`, the feed alone is
        used, and not the database. `other_jobs` are the ids of jobs that may have the same events.
        """
        listed = [ref for ref, _ in jobs]
        known = {ref: JobFacts.new(ref, USUAL_WAIT, self.now()) for ref in listed}
        if stored:
            known = await self.store.get(listed)
        refs = [ref for ref, facts in known.items() if not facts.started_by.settled]
        reads = await asyncio.gather(*(self.feeds.read(ref, timeout=timeout) for ref in refs))
        feeds = dict(zip(refs, reads, strict=True))
        near, now = NearbyJobs([*other_jobs, *(ref.job_id for ref in listed)]), self.now()
        return {
            ref: known[ref].add(job, self._starter(ref, known[ref], feeds.get(ref), near)).at(now)
            for ref, job in jobs
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
        known, found, _ = await self._known_and_found(ref, await self.feeds.read(ref))
        if found is None or not found.supersedes(known.started_by):
            return False
        await self._record(ref, known, None, found, waits=False)
        return True

    async def starter_of(self, ref: JobRef) -> StartedBy:
        """Return who started a job, from the database or the activity feed as it is now."""
        known = (await self.store.get([ref]))[ref]
        if known.started_by.settled:
            return known.started_by
        feed = await self.feeds.read(ref, timeout=STARTER_TIMEOUT, max_age=0.0)
        known, found, _ = await self._known_and_found(ref, feed)
        return known.add(started_by=found).started_by

    async def run(self) -> None:
        """Follow jobs until cancelled; errors are logged and the next round tries again."""
        while True:
            await self.sleep(self.interval)
            with log_errors("job facts not updated"):
                await self.follow()

    async def follow(self) -> None:
        """Read the jobs of waiting requests, and search for starters that are not known yet."""
        followed = await self.store.followed()
        await asyncio.gather(*(self._follow(each) for each in followed))

    async def _follow(self, each: FollowedJob) -> None:
        ref, facts = each.ref, each.facts
        job = feed = None
        async with self.slots:
            if each.waits:
                job = await self._read_job(ref)
            if not facts.started_by.settled:
                feed = await self.feeds.read(ref, max_age=FEED_AGE * self.interval)
        found = self._starter(ref, facts, feed, each.nearby)
        updated = await self._record(ref, facts, job, found, waits=each.waits)
        if updated != facts or each.waits:
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

    async def _known_and_found(
        self, ref: JobRef, feed: Feed | None
    ) -> tuple[JobFacts, StartedBy | None, Request | None]:
        """Return what is recorded, what the feed has about the starter, and the open request."""
        known, nearby, request = await self.store.known(ref)
        return known, self._starter(ref, known, feed, nearby), request

    def _starter(
        self, ref: JobRef, facts: JobFacts, feed: Feed | None, nearby: NearbyJobs
    ) -> StartedBy | None:
        """Return what the feed has, or None if there is nothing to find out."""
        project = self.projects.get_or_none(ref.project_id)
        if facts.started_by.settled or feed is None or project is None:
            return None
        if feed.events is None:
            return StartedBy(StarterStatus.NOT_KNOWN)
        return started_by(
            ref.job_id,
            feed.events,
            read_at=feed.read_at,
            own_key=project.atlas.key_id,
            other_jobs=nearby.ids,
            all_read_at=nearby.all_read_at,
        )

    async def _record(
        self,
        ref: JobRef,
        known: JobFacts,
        job: RestoreJob | None,
        found: StartedBy | None,
        *,
        waits: bool,
    ) -> JobFacts:
        """Record what is new; a request that `waits` may lack the event of a live link."""
        updated = known.add(job, found).at(self.now())
        is_new = updated != known or updated.started_by.settled != known.started_by.settled
        to_come = {LinkPhase.EXPECTED, LinkPhase.OVERDUE}
        may_lack_event = waits and updated.phase not in to_come
        if not (is_new or may_lack_event):
            return known
        return await self.store.record(ref, job, found)
