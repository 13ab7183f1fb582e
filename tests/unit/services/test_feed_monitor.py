"""The activity feed as the watch uses it: new requests, late events, refusals."""

from datetime import datetime, timedelta

import pytest
import structlog

from bot.atlas import RESTORE_REQUESTED, ActivityEvent, RateLimited, RoleMissing
from bot.cancellation.policy import Policies
from bot.cancellation.starter import LISTED_AFTER
from bot.services.jobs import ActivityFeeds, FeedMonitor
from bot.services.projects import Project, Projects
from tests.support.clock import NOON, FakeClock
from tests.support.domain import PROJECT_ID
from tests.support.fake_atlas import FakeAtlas


def event(created: datetime, number: int = 1) -> ActivityEvent:
    event_id = f"{int(created.timestamp()):08x}{number:016x}"
    return ActivityEvent(id=event_id, created=created, event_type_name=RESTORE_REQUESTED)


class Feed:
    """A monitor over a fake of Atlas, and the clock of both."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.atlas = FakeAtlas({})
        project = Project(id=PROJECT_ID, name="shop", policies=Policies(), atlas=self.atlas)
        self.feeds = ActivityFeeds(Projects([project]), self.clock, monotonic=self.clock.monotonic)
        self.monitor = FeedMonitor(PROJECT_ID, self.feeds)

    async def read_after(self, seconds: float = 15) -> int:
        self.clock.advance(seconds)
        return await self.monitor.read()


@pytest.fixture
def feed() -> Feed:
    return Feed()


async def test_two_events_of_one_job_are_new_together_and_only_once(feed: Feed) -> None:
    assert await feed.read_after() == 0
    feed.atlas.events_found += [event(feed.clock.now, 1), event(feed.clock.now, 2)]

    assert [await feed.read_after(), await feed.read_after()] == [2, 0]


async def test_first_read_counts_recent_events_only(feed: Feed) -> None:
    feed.atlas.events_found += [
        event(NOON - timedelta(hours=3)),
        event(NOON - timedelta(minutes=5)),
    ]

    assert await feed.read_after() == 1


async def test_event_that_is_a_minute_late_is_new(feed: Feed) -> None:
    await feed.read_after()
    created = feed.clock.now
    await feed.read_after(60)
    feed.atlas.events_found.append(event(created))

    assert await feed.read_after() == 1


async def test_feed_is_not_read_before_atlas_s_retry_after_is_over(feed: Feed) -> None:
    feed.atlas.feed_fault = RateLimited(status=429, retry_after=40.0)
    reads = []
    for _ in range(4):
        await feed.read_after()
        reads.append(feed.atlas.feed_reads)

    assert reads == [1, 1, 1, 2]


async def test_refused_feed_is_logged_once(feed: Feed) -> None:
    feed.atlas.feed_fault = RoleMissing(status=403)
    with structlog.testing.capture_logs() as logs:
        for _ in range(9):
            assert await feed.read_after() == 0
        feed.atlas.feed_fault = None
        await feed.read_after()

    assert [each["log_level"] for each in logs] == ["warning", "info"]


async def test_job_of_the_newest_event_is_listed_last_by_atlas_s_clock(feed: Feed) -> None:
    newest = feed.clock.now + timedelta(hours=1)
    feed.atlas.events_found += [event(newest - timedelta(seconds=9)), event(newest)]
    await feed.read_after(1)
    read_at = feed.clock.monotonic()
    await feed.read_after(100)

    assert feed.monitor.listed_at == newest + LISTED_AFTER
    assert feed.monitor.atlas_clock.at(read_at) == newest
