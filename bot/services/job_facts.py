"""Finds out who started a job and when its link goes live, and keeps what is shown up to date."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

import structlog

from bot.atlas import AtlasError, JobRef, RestoreJob
from bot.cancellation.errors import CancellationError
from bot.cancellation.job_facts import USUAL_WAIT, JobFacts
from bot.cancellation.starter import Knowledge, StartedBy, started_by
from bot.services.activity_feed import ActivityFeeds, Feed
from bot.services.projects import Projects
from bot.storage.job_facts import FollowedJob, JobFactsStore, add
from bot.timings import Timings

#: Seconds for which the details of a job wait for the activity feed; it is added later if slower.
PATIENCE = 0.2

#: Seconds for which a decision about a quarantined download waits for the activity feed.
STARTER_TIMEOUT = 1.0

#: How old the feed may be for a job that is followed, in intervals: as old as a watch leaves it,
#: so that a watched project's feed is not read twice.
FEED_AGE = 2.5

#: Calls to Atlas at once.
MAX_CONCURRENT_READS = 8

log = structlog.get_logger(__name__)


class JobFactsService:
    """The facts about jobs: for dialogs and lists on demand, for messages periodically.

    `on_change` is called after changes that messages show.
    """

    def __init__(
        self,
        projects: Projects,
        store: JobFactsStore,
        feeds: ActivityFeeds,
        *,
        now: Callable[[], datetime],
        on_change: Callable[[], None] = lambda: None,
        interval: float = Timings.job_facts_interval,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._projects = projects
        self._store = store
        self.feeds = feeds
        self._now = now
        self._on_change = on_change
        self._interval = interval
        self._sleep = sleep
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_READS)

    async def of_job(self, ref: JobRef, job: RestoreJob, feed: Feed | None) -> JobFacts:
        """Return the facts about a job that was read, and record them; raises `LedgerError`."""
        neighbours = await self._store.neighbours(ref)
        known = (await self._store.get([ref]))[ref]
        found = self._starter(ref, known, feed, neighbours)
        return await self._record(ref, known, job, found)

    async def of_jobs(
        self,
        jobs: Collection[tuple[JobRef, RestoreJob]],
        *,
        patience: float = PATIENCE,
        stored: bool = True,
    ) -> dict[JobRef, JobFacts]:
        """Return the facts about jobs for a list; nothing is recorded; raises `LedgerError`.

        The list waits `patience` seconds for the activity feed. Unless `stored`, the feed alone is
        used, and not the database.
        """
        listed = [ref for ref, _ in jobs]
        known = (
            await self._store.get(listed)
            if stored
            else {ref: JobFacts.new(ref, USUAL_WAIT, self._now()) for ref in listed}
        )
        refs = [ref for ref, facts in known.items() if not facts.started_by.is_settled]
        reads = await asyncio.gather(*(self.feeds.read(ref, timeout=patience) for ref in refs))
        feeds = dict(zip(refs, reads, strict=True))
        ids = [ref.job_id for ref, _ in jobs]
        now = self._now()
        return {
            ref: add(known[ref], job, self._starter(ref, known[ref], feeds.get(ref), ids)).at(now)
            for ref, job in jobs
        }

    async def waits_for_starter(self, ref: JobRef) -> bool:
        """Wait for a slow read of the feed; return whether it says more than what is recorded."""
        feed = await self.feeds.read(ref)
        known = (await self._store.get([ref]))[ref]
        found = self._starter(ref, known, feed, await self._store.neighbours(ref))
        return found is not None and found.is_better_than(known.started_by)

    async def starter_of(self, ref: JobRef) -> StartedBy:
        """Return who started a job, by the record or the activity feed as it is now."""
        known = (await self._store.get([ref]))[ref]
        if known.started_by.is_settled:
            return known.started_by
        feed = await self.feeds.read(ref, timeout=STARTER_TIMEOUT, max_age=0.0)
        found = self._starter(ref, known, feed, await self._store.neighbours(ref))
        return add(known, None, found).started_by

    async def known(self, refs: Collection[JobRef]) -> Mapping[JobRef, JobFacts]:
        """Return what is recorded about jobs; raises `LedgerError`."""
        return await self._store.get(refs)

    async def run(self) -> None:
        """Follow jobs until cancelled; errors are logged and the next round tries again."""
        while True:
            await self._sleep(self._interval)
            try:
                await self.follow()
            except CancellationError as error:
                log.warning("job facts not updated", why=str(error))
            except Exception:
                log.exception("job facts broke off")

    async def follow(self) -> None:
        """Read the jobs of waiting requests, and look for starters that are not known yet."""
        followed = await self._store.followed()
        await asyncio.gather(*(self._follow(each) for each in followed))

    async def _follow(self, each: FollowedJob) -> None:
        ref, facts = each.ref, each.facts
        async with self._slots:
            job = await self._read_job(ref) if each.waits else None
            feed = None if facts.started_by.is_settled else await self._read_feed(ref)
            found = self._starter(ref, facts, feed, each.neighbours)
            link = None if facts.feed_link else await self._feed_link(ref, feed, found)
        if await self._record(ref, facts, job, found, link) != facts or each.waits:
            self._on_change()

    async def _read_feed(self, ref: JobRef) -> Feed | None:
        return await self.feeds.read(ref, max_age=FEED_AGE * self._interval)

    async def _read_job(self, ref: JobRef) -> RestoreJob | None:
        project = self._projects.find(ref.project_id)
        if project is None:
            return None
        try:
            with project.backups.call():
                return await project.atlas.restore_job(ref)
        except (AtlasError, CancellationError) as error:
            log.info("waiting job not read", job=ref.job_id, why=str(error))
            return None

    async def _feed_link(
        self, ref: JobRef, feed: Feed | None, found: StartedBy | None
    ) -> str | None:
        """Ask for the link once the feed says something: it refuses both alike."""
        readable = feed is not None and feed.events is not None
        return await self.feeds.link(ref) if readable and found else None

    def _starter(
        self, ref: JobRef, facts: JobFacts, feed: Feed | None, neighbours: Sequence[str]
    ) -> StartedBy | None:
        """Return what the feed says, or None if there is nothing to find out."""
        project = self._projects.find(ref.project_id)
        if facts.started_by.is_settled or feed is None or project is None:
            return None
        if feed.events is None:
            return StartedBy(Knowledge.NOT_KNOWN)
        return started_by(
            ref.job_id,
            feed.events,
            age=feed.read_at - ref.started_at,
            own_key=project.atlas.key_id,
            other_jobs=neighbours,
        )

    async def _record(
        self,
        ref: JobRef,
        known: JobFacts,
        job: RestoreJob | None,
        found: StartedBy | None,
        link: str | None = None,
    ) -> JobFacts:
        """Record what is new; a request that waits for a live link may lack its event."""
        updated = add(known, job, found, link).at(self._now())
        if updated == known and not updated.needs_event:
            return known
        return await self._store.record(ref, job, found, link)
