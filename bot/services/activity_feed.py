"""Reads the activity feeds of projects; one read serves all jobs of a project for some seconds."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from bot.async_cache import AsyncCache
from bot.atlas import RESTORE_REQUESTED, ActivityEvent, AtlasError, AtlasRejected, JobRef
from bot.cancellation.errors import RateLimitReserved
from bot.services.projects import Projects

#: Seconds for which a read of a feed is served from the cache.
MAX_AGE = 6.0
#: Seconds for one read with all its pages.
TIMEOUT = 15.0

#: One read reaches back so far; the feed of an older job is read from its own start.
LOOK_BACK = timedelta(hours=24)
#: The link to the feed shows the events from before a job's start until after it.
LINK_SPAN = timedelta(minutes=5)

#: A later read reaches back so far before the newest known event: Atlas shows some events late.
OVERLAP = timedelta(minutes=2)

#: The fraction of the rate limit that the reads of events leave.
RESERVE = 3 / 4


#: A project's id, and the start of an old job, or None for the feed of the last hours.
_Key: TypeAlias = tuple[str, datetime | None]


@dataclass(frozen=True, slots=True)
class Feed:
    """The restores that were requested in a project."""

    read_at: datetime  #: when the read began, by the clock of the database
    events: tuple[ActivityEvent, ...] | None  #: newest first; None if Atlas refuses the feed


class ActivityFeeds:
    """The activity feeds of the projects; `now` is the clock of the database."""

    def __init__(
        self,
        projects: Projects,
        now: Callable[[], datetime],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._projects = projects
        self._now = now
        self._cache = AsyncCache(self._load, monotonic)
        self._without_link: set[JobRef] = set()  # Atlas gave none; it is not asked again

    async def close(self) -> None:
        """Cancel the reads in flight."""
        await self._cache.close()

    async def read(
        self, ref: JobRef, *, timeout: float = TIMEOUT, max_age: float = MAX_AGE
    ) -> Feed | None:
        """Return the feed around a job's start; None if it could not be read in time."""
        is_old = ref.started_at < self._now() - LOOK_BACK
        key = (ref.project_id, ref.started_at if is_old else None)
        return await self._get(key, timeout, max_age)

    async def link(self, ref: JobRef) -> str | None:
        """Return the address of the job's events in Atlas's web interface, if Atlas gives one."""
        project = self._projects.find(ref.project_id)
        if project is None or ref in self._without_link:
            return None
        since, until = ref.started_at - LINK_SPAN, ref.started_at + LINK_SPAN
        try:
            async with asyncio.timeout(TIMEOUT):
                return await project.atlas.activity_feed_link(
                    ref.project_id, [RESTORE_REQUESTED], since, until
                )
        except (AtlasError, TimeoutError):
            self._without_link.add(ref)
            return None

    async def recent(self, project_id: str, *, max_age: float) -> Feed | None:
        """Return the feed of the last `LOOK_BACK`; None if it could not be read in time."""
        return await self._get((project_id, None), TIMEOUT, max_age)

    async def _get(self, key: _Key, timeout: float, max_age: float) -> Feed | None:
        try:
            return await self._cache.get(key, max_age=max_age, timeout=timeout)
        except (AtlasError, RateLimitReserved, TimeoutError):
            return None

    async def _load(self, key: _Key) -> Feed:
        project_id, started_at = key
        now = self._now()
        project = self._projects.find(project_id)
        if project is None:
            return Feed(now, None)
        since = started_at - timedelta(minutes=1) if started_at else now - LOOK_BACK
        known: tuple[ActivityEvent, ...] = ()
        if (before := self._cache.get_stored(key)) and before.events is not None:
            known = tuple(event for event in before.events if event.created >= since)
            since = _next_since(before.read_at, known, since)
        try:
            with project.events.call(reserve=RESERVE):
                events = await project.atlas.events(project_id, [RESTORE_REQUESTED], since)
        except AtlasRejected:
            return Feed(now, None)
        return Feed(now, _newest_first({event.id: event for event in (*known, *events)}.values()))


def _next_since(
    read_at: datetime, known: tuple[ActivityEvent, ...], earliest: datetime
) -> datetime:
    """Return from when on the next read must reach, by Atlas's clock: the bot's may be ahead."""
    if not known:
        return earliest
    return max(earliest, min(read_at, known[0].created) - OVERLAP)


def _newest_first(events: Iterable[ActivityEvent]) -> tuple[ActivityEvent, ...]:
    return tuple(sorted(events, key=lambda event: (event.created, event.id), reverse=True))
