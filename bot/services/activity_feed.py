"""Reads the activity feeds of projects, and follows them for new restores."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.async_cache import AsyncCache
from bot.atlas import RESTORE_REQUESTED, ActivityEvent, AtlasError, AtlasRejected, JobRef
from bot.cancellation.errors import RateLimitReserved
from bot.cancellation.starter import SETTLED_AFTER
from bot.services.projects import Projects

MAX_AGE = 6.0  #: seconds for which a read of a feed is served from the cache
TIMEOUT = 15.0  #: seconds for one read with all its pages
#: One read reaches back so far; the feed of an older job is read from its own start.
LOOK_BACK = timedelta(hours=24)
#: A later read reaches back so far before the newest known event: Atlas shows some events late.
OVERLAP = timedelta(minutes=2)
RESERVE = 3 / 4  #: the fraction of the rate limit that the reads of events leave
RECENT = timedelta(minutes=10)  #: how young events must be for a monitor's first read to count them
FRESH = 1.0  #: seconds for which a read that was made for another purpose counts as fresh

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
        self._cache = AsyncCache(self._load, monotonic)

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
        since = started_at - timedelta(minutes=1) if started_at else now - LOOK_BACK
        known: tuple[ActivityEvent, ...] = ()
        if (before := self._cache.get_stored(key)) and before.events is not None:
            known = tuple(event for event in before.events if event.created >= since)
            if known:  # read on by Atlas's clock, as the bot's may be ahead
                since = max(since, min(before.read_at, known[0].created) - OVERLAP)
        try:
            with project.events.call(reserve=RESERVE):
                events = await project.atlas.events(project_id, [RESTORE_REQUESTED], since)
        except AtlasRejected:
            return Feed(now, None)
        unique = {event.id: event for event in (*known, *events)}.values()
        newest_first = sorted(unique, key=lambda each: (each.created, each.id), reverse=True)
        return Feed(now, tuple(newest_first))


class FeedMonitor:
    """The activity feed of one project, as the watch uses it."""

    def __init__(self, project_id: str, feeds: ActivityFeeds) -> None:
        self._project_id = project_id
        self._feeds = feeds
        self._seen: frozenset[str] | None = None
        self._refused = False
        self.unsettled = 0.0  #: seconds until the starter of the newest event's job can be settled

    async def read(self) -> int:
        """Return how many requests of restores the last read did not have."""
        feed = await self._feeds.read_since(self._project_id, None, max_age=FRESH)
        if feed is None:
            return 0
        self._report_refusal(refused=feed.events is None)
        if feed.events is None:
            return 0
        if feed.events:  # newest first
            settled_at = feed.events[0].created + SETTLED_AFTER
            self.unsettled = (settled_at - feed.read_at).total_seconds()
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
