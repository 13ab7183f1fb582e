"""Follows the activity feed of one project: restores that were requested, and gaps of the feed."""

from datetime import timedelta

import structlog

from bot.atlas import JobRef
from bot.cancellation.starter import Knowledge, started_by
from bot.services.activity_feed import ActivityFeeds, Feed

#: At its first read, only events that are this young are new.
RECENT = timedelta(minutes=10)

#: How old a job is when the feed must have its event, which may be a minute late.
MAX_DELAY = timedelta(seconds=90)

#: Jobs that were found later than this prove nothing about the feed.
MAX_AGE = timedelta(minutes=30)

#: Seconds for which a read that was made for another purpose counts as fresh.
FRESH = 1.0

log = structlog.get_logger(__name__)


class FeedMonitor:
    """The activity feed of one project, as the watch uses it."""

    def __init__(self, project_id: str, feeds: ActivityFeeds) -> None:
        self._project_id = project_id
        self._feeds = feeds
        self._seen: frozenset[str] | None = None
        self._refused = False
        self._unmatched: set[JobRef] = set()

    async def read(self) -> tuple[int, list[JobRef]]:
        """Read the feed.

        Returns:
            how many restores were requested since the last read, and the new downloads of which
            the feed should have an event by now, but has none.
        """
        feed = await self._feeds.recent(self._project_id, max_age=FRESH)
        if feed is None:
            return 0, []
        self._report_refusal(feed)
        if feed.events is None:
            self._unmatched.clear()
            return 0, []
        return self._count_new(feed), self._missing(feed)

    def expect(self, ref: JobRef) -> None:
        """Expect an event of a new download."""
        self._unmatched.add(ref)

    def _count_new(self, feed: Feed) -> int:
        """Count the events that no earlier read had."""
        events = feed.events or ()
        first, seen = self._seen is None, self._seen or frozenset()
        self._seen = frozenset(event.id for event in events)
        return sum(
            event.id not in seen and not (first and event.created < feed.read_at - RECENT)
            for event in events
        )

    def _missing(self, feed: Feed) -> list[JobRef]:
        missing = []
        for ref in [*self._unmatched]:
            age = feed.read_at - ref.started_at
            found = started_by(ref.job_id, feed.events or (), age=age, own_key="")
            if found.knowledge is Knowledge.KNOWN or age > MAX_AGE:
                self._unmatched.discard(ref)
            elif age >= MAX_DELAY:
                self._unmatched.discard(ref)
                missing.append(ref)
        return missing

    def _report_refusal(self, feed: Feed) -> None:
        """Log once that Atlas refuses the feed, and once that it no longer does."""
        refused = feed.events is None
        if refused and not self._refused:
            log.warning(
                "Atlas refuses the activity feed: downloads are found by the sweep only, later; "
                "cancel-restore doctor says what to check",
                project=self._project_id,
            )
        elif self._refused and not refused:
            log.info("the activity feed can be read again", project=self._project_id)
        self._refused = refused
