"""The watch: new downloads by rounds and by the feed, and what it does while Atlas fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from bot.atlas import Unavailable
from bot.services.observations import Observations
from bot.services.watch import FEED_INTERVAL, Watch
from tests.support.core import CoreEnvironment
from tests.support.domain import AUTO_CANCEL, REF, START, job_ref
from tests.support.fake_atlas import CANCELLED, CLUSTERS, restore_event

INTERVAL = 60.0


@pytest.fixture
def env(env: CoreEnvironment) -> CoreEnvironment:
    """The watch begins some seconds after the start of the first download."""
    env.clock.advance(5)
    return env


@dataclass
class Watched:
    """A watch whose rounds and reads of the feed a test lets begin."""

    env: CoreEnvironment
    rounds: list[datetime] = field(default_factory=list)
    seen: int = 0
    detected: list[float] = field(default_factory=list)
    looks: asyncio.Queue[float] = field(default_factory=asyncio.Queue)
    next_round: asyncio.Event = field(default_factory=asyncio.Event)
    next_feed: asyncio.Event = field(default_factory=asyncio.Event)
    feed_pauses: asyncio.Queue[float] = field(default_factory=asyncio.Queue)

    def count(self, _project: str) -> None:
        self.seen += 1

    async def sleep(self, seconds: float) -> None:
        """Wait for the next round; a sweep goes on at once."""
        if seconds < INTERVAL / 2:
            await asyncio.sleep(0)
            return
        await self.looks.put(seconds)
        await self.next_round.wait()
        self.next_round.clear()

    async def wait_for_feed(self, seconds: float, _event: asyncio.Event) -> None:
        await self.feed_pauses.put(seconds)
        await self.next_feed.wait()
        self.next_feed.clear()

    async def finish_round(self) -> float:
        """Wait until a round is done, and return the seconds until the next one."""
        async with asyncio.timeout(5):
            return await self.looks.get()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Watched"]:
        """Run the watch; its first round is done."""
        env = self.env
        observations = Observations(
            projects=env.projects,
            now=env.clock,
            on_seen=self.count,
            on_detected=self.detected.append,
            on_round=lambda _project, at: self.rounds.append(at),
        )
        watch = Watch(
            env.project,
            env.feed(),
            env.downloads,
            observations,
            INTERVAL,
            env.clock,
            sleep=self.sleep,
            wait_up_to=self.wait_for_feed,
            monotonic=env.clock.monotonic,
        )
        await watch.start(env.clock.now)
        task = asyncio.create_task(watch.run())
        try:
            await self.finish_round()
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def stored(env: CoreEnvironment, *, count: int) -> None:
    """Wait until so many downloads are stored."""
    async with asyncio.timeout(5):
        for _ in range(1000):
            if len(await env.downloads.going_on()) >= count:
                return
    raise AssertionError("not stored")


async def test_first_round_stores_downloads_that_ran_before_without_a_time(
    env: CoreEnvironment,
) -> None:
    env.policy = AUTO_CANCEL
    async with Watched(env).running() as watched:
        download = await env.download()

    assert download.channel == env.policy.channel
    assert download.auto_cancel_at is None
    assert (watched.seen, watched.detected) == (1, [])
    assert watched.rounds == [env.clock.now]


async def test_later_download_is_new_and_gets_its_time(env: CoreEnvironment) -> None:
    env.policy = AUTO_CANCEL
    async with Watched(env).running() as watched:
        env.clock.advance(20)
        later = job_ref(env.clock.now - timedelta(seconds=10), number=2, cluster="added")
        env.atlas.jobs_now[later] = {}
        watched.next_round.set()
        await watched.finish_round()
        download = await env.download(later)

    assert download.auto_cancel_at == env.clock.now + timedelta(seconds=90)
    assert watched.detected == [10]


async def test_event_of_the_feed_makes_the_watch_look_at_once(env: CoreEnvironment) -> None:
    async with Watched(env).running() as watched:
        env.clock.advance(20)
        later = job_ref(env.clock.now - timedelta(seconds=10), number=2)
        env.atlas.jobs_now[later] = {}
        env.atlas.events = [restore_event("dana@shop.example", later.started_at)]
        watched.next_feed.set()
        await stored(env, count=2)
        watched.next_feed.set()
        rounds = len(watched.rounds)

    assert rounds == 1


async def test_feed_is_read_as_soon_as_it_is_to_have_the_event_of_a_start(
    env: CoreEnvironment,
) -> None:
    async with Watched(env).running() as watched:
        async with asyncio.timeout(5):
            first = await watched.feed_pauses.get()
            env.clock.now = START + timedelta(seconds=14)
            watched.next_feed.set()
            second = await watched.feed_pauses.get()

    assert (first, second) == (FEED_INTERVAL, 6)


async def test_interval_is_from_start_to_start_of_a_round(env: CoreEnvironment) -> None:
    watched = Watched(env)
    async with watched.running():
        watched.next_round.set()
        pause = await watched.finish_round()

    assert pause == INTERVAL


@pytest.mark.parametrize("broken", [CLUSTERS, "broken"])
async def test_round_with_a_failed_read_is_no_complete_look_but_stores_the_rest(
    env: CoreEnvironment, broken: str
) -> None:
    env.atlas.empty_clusters = ["broken"]
    async with Watched(env).running() as watched:
        env.clock.advance(60)
        env.atlas.faults[broken] = Unavailable(status=503)
        later = job_ref(START + timedelta(seconds=30), number=2)
        env.atlas.jobs_now[later] = {}
        watched.next_round.set()
        await watched.finish_round()
        download = await env.download(later)

    assert download.ref == later
    assert len(watched.rounds) == 1


async def test_download_that_is_cancelled_elsewhere_is_seen_as_ended(env: CoreEnvironment) -> None:
    async with Watched(env).running() as watched:
        env.clock.advance(60)
        env.atlas.jobs_now[REF] = CANCELLED
        watched.next_round.set()
        await watched.finish_round()
        download = await env.download()

    assert download.ended == "cancelled"


@pytest.mark.parametrize(("unread", "ended"), [([], "gone"), ([REF.job_id], None)])
async def test_download_that_a_round_does_not_list_is_gone_unless_it_could_not_be_read(
    unread: list[str], ended: str | None, env: CoreEnvironment
) -> None:
    async with Watched(env).running() as watched:
        env.clock.advance(60)
        del env.atlas.jobs_now[REF]
        env.atlas.empty_clusters, env.atlas.unread = [REF.cluster_name], unread
        watched.next_round.set()
        await watched.finish_round()
        download = await env.download()

    assert download.ended == ended
