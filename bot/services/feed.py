"""Reads the activity feed of a project: restore requests, and who started its downloads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bot.atlas import ActivityEvent, AtlasError, Priority
from bot.cancellation.download import Download
from bot.cancellation.starter import FEED_DELAY, TOLERANCE, Starters, starters_of
from bot.services.projects import Project
from bot.storage.download_store import DownloadStore

#: How far a read looks back: events may be visible late, and a restart must lose none.
LOOK_BACK = timedelta(minutes=3)

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Feed:
    """The activity feed of one project."""

    project: Project
    downloads: DownloadStore
    now: Callable[[], datetime]
    is_readable: bool = field(default=True, init=False)  #: whether the last read succeeded
    #: When the feed is to have the event of the next start; None where it has those of all.
    covers_next_at: datetime | None = field(default=None, init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    async def read(self) -> list[datetime]:
        """Read the feed, store the starters, and return the times of new restore requests."""
        self.covers_next_at = None
        waiting = await self.downloads.without_final_starters(self.project.id)
        starts, now = [item.started_at for item in waiting], self.now()
        since = min([now - LOOK_BACK, *(start - TOLERANCE for start in starts)])
        coverable = (start + FEED_DELAY for start in starts)
        self.covers_next_at = min((at for at in coverable if at > now), default=None)
        events = await self._events(since, Priority.WATCH)
        if events is None:
            return []
        read_at, found = events
        await self._store(waiting, found, read_at)
        new = [event for event in found if event.id not in self._seen]
        self._seen = {event.id for event in found}
        return [event.created for event in new]

    async def starters_near(
        self, job_id: str, started_at: datetime, others: Sequence[str]
    ) -> Starters:
        """Return who may have started a job that may not be stored, for a list or a dialog."""
        events = await self._events(started_at - TOLERANCE, Priority.PERSON, max_age=10.0)
        if events is None:
            return Starters()
        read_at, found = events
        return starters_of(job_id, found, read_at=read_at, other_jobs=others)

    async def _events(
        self, since: datetime, priority: Priority, max_age: float = 0.0
    ) -> tuple[datetime, list[ActivityEvent]] | None:
        read_at = self.now()
        try:
            events = await self.project.gateway.restore_requests(since, priority, max_age=max_age)
        except AtlasError as error:
            emit = log.warning if self.is_readable else log.info
            emit("activity feed not read", project=self.project.id, why=str(error))
            self.is_readable = False
            return None
        self.is_readable = True
        return events.read_at or read_at, list(events)

    async def _store(
        self, downloads: Sequence[Download], events: list[ActivityEvent], read_at: datetime
    ) -> None:
        ids = [download.ref.job_id for download in downloads]
        found = {
            job_id: starters_of(
                job_id,
                events,
                read_at=read_at,
                other_jobs=[other for other in ids if other != job_id],
            )
            for job_id in ids
        }
        if found:
            await self.downloads.record_starters(self.project.id, found)
