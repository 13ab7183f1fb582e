"""The watch: its announcements, the order of its reads, and its pauses."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog

from bot.atlas import (
    AtlasClock,
    AtlasError,
    Cluster,
    ClusterNotFound,
    JobRef,
    KeyRefused,
    RateLimited,
    ReadItems,
    RestoreJob,
    RoleMissing,
    Unavailable,
    WrongClusterKind,
)
from bot.cancellation.errors import NotRecorded
from bot.cancellation.job import USUAL_WAIT, Job, Listing, compare
from bot.cancellation.policy import Policies, Policy
from bot.services.jobs import NEVER, FeedMonitor
from bot.services.projects import Project, Projects
from bot.services.rate_limit import BUCKET_SIZE, CallPacer, Rank, RateLimitBudget
from bot.services.watch import MAX_CONCURRENT_READS, MAX_FEED_DELAY, MISSING_AFTER, Watcher
from bot.storage.database import Database
from bot.storage.watch_store import WatchStore
from bot.timings import Timings
from tests.support.clock import NOON, SimulatedTime
from tests.support.domain import PROJECT_ID, a_job
from tests.support.fake_atlas import UnconnectedAtlas

WATCHED = Policy(watch_channel="C0WATCH001")


def job(number: int) -> RestoreJob:
    return a_job(id=f"{number:024x}")


@dataclass
class WatchAtlas(UnconnectedAtlas):
    """Clusters and their jobs; `faults` are raised in turn, by cluster, or for the list as ``."""

    clock: SimulatedTime
    jobs: dict[str, list[RestoreJob]]
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    reads: list[tuple[str, float]] = field(default_factory=list)
    unread: tuple[str, ...] = ()
    unread_jobs: tuple[str, ...] = ()
    lists: int = 0
    under_way: int = 0
    most: int = 0

    async def clusters(
        self, project_id: str, *, timeout: float | None = None
    ) -> ReadItems[Cluster]:
        self.lists += 1
        self._fail("")
        return ReadItems((Cluster(name=name) for name in self.jobs), self.unread)

    async def restore_jobs(
        self,
        project_id: str,
        cluster_name: str,
        *,
        retry: bool = True,
        timeout: float | None = None,
    ) -> ReadItems[RestoreJob]:
        assert not retry
        self.reads.append((cluster_name, self.clock.monotonic()))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if cluster_name in self.hangs:
                await self.clock.sleep(8.0)
                raise Unavailable(status=504)
            self._fail(cluster_name)
            return ReadItems(self.jobs[cluster_name], (*self.unread, *self.unread_jobs))
        finally:
            self.under_way -= 1

    def _fail(self, what: str) -> None:
        if self.faults.get(what):
            raise self.faults[what].pop(0)

    @property
    def most_in_a_minute(self) -> int:
        times = [at for _, at in self.reads]
        return max(sum(start <= at < start + 60 for at in times) for start in times)

    def times_of(self, cluster: str) -> list[float]:
        return [at for name, at in self.reads if name == cluster]


@dataclass
class FakeWatchStore(WatchStore):
    """A watch store in memory, with faults raised in turn."""

    database: Database = field(init=False)
    now: Callable[[], datetime]
    owner: str = field(init=False, default="replica-1")
    faults: list[Exception] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    adopted: list[list[str]] = field(default_factory=list)
    complete: list[bool] = field(default_factory=list)
    noted: list[tuple[str, int]] = field(default_factory=list)
    lacked_at: list[datetime | None] = field(default_factory=list)
    reads: list[datetime] = field(default_factory=list)
    for_restores: list[bool] = field(default_factory=list)
    announced: list[Job] = field(default_factory=list)
    recorded: int = 0
    all_read_at: datetime | None = None

    async def record_watch(self, project_id: str, read_at: datetime | None = None) -> None:
        self.recorded += 1
        self.all_read_at = read_at or self.all_read_at

    async def record_clusters(
        self, project_id: str, clusters: Collection[str], *, is_complete: bool = True
    ) -> list[str]:
        self.adopted.append(sorted(clusters))
        self.complete.append(is_complete)
        return self.gone

    async def record_jobs(
        self,
        project_id: str,
        cluster: str,
        reads: Sequence[RestoreJob],
        unread: Collection[str] = (),
        *,
        read_at: datetime | None = None,
        lacked_at: datetime | None = None,
        is_watched: bool = True,
        watch_restores: bool = False,
    ) -> None:
        self.for_restores.append(watch_restores)
        self.lacked_at.append(lacked_at)
        assert not set(unread) & {read.id for read in reads}
        if self.faults:
            raise self.faults.pop(0)
        self.noted.append((cluster, len(reads)))
        now = self.now()
        jobs = {read.id: read for read in reads}
        listing = Listing(jobs=jobs, now=now, read_at=now, is_watched=is_watched)
        refs = [JobRef(project_id, cluster, read.id) for read in reads]
        new = {ref.job_id: Job.new(ref, USUAL_WAIT, now) for ref in refs}
        self.announced += [job for job in compare(listing, new) if job.version]

    async def record_reads(self, refs: Collection[JobRef], read_at: datetime) -> None:
        self.reads.append(read_at)


class UnlimitedBudget(RateLimitBudget):
    """A rate limit that is never exhausted."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)

    @contextmanager
    def call(self, *, reserve: float = 0.0) -> Iterator[None]:
        assert reserve == 0.5
        yield


@dataclass
class BusyPacer(CallPacer):
    """A pacer of other projects' calls: only urgent ones have a turn."""

    clock: SimulatedTime

    async def wait(
        self, rank: Callable[[], Rank] = lambda: Rank.REGULAR, *, cost: float = 1.0
    ) -> None:
        while rank() is not Rank.URGENT:
            await self.clock.sleep(0.5)


@dataclass
class FakeFeed(FeedMonitor):
    """An activity feed with a request at each time of `requests`.

    Each job that may have the newest event is listed `unlisted` seconds after it was read.
    """

    clock: SimulatedTime
    requests: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    listed_at: datetime = NEVER
    unlisted: float = 0.0
    atlas_clock: AtlasClock = field(default_factory=AtlasClock)

    async def read(self) -> int:
        now = self.clock.monotonic()
        self.reads.append(now)
        visible = [each for each in self.requests if each <= now]
        self.requests = [each for each in self.requests if each > now]
        if visible:
            self.atlas_clock.saw(self.clock(), now)
            self.listed_at = self.clock() + timedelta(seconds=self.unlisted)
        return len(visible)


@dataclass
class WatchHarness:
    clock: SimulatedTime
    atlas: WatchAtlas
    store: FakeWatchStore
    feed: FakeFeed
    new_watch: Callable[[], Watcher]
    read: list[datetime | None]
    listed_at: list[float]
    projects: Projects

    async def run_for(self, seconds: float, watch: Watcher | None = None) -> None:
        """Let a watch, or a new one, run for a while, and end it as the bot does."""
        end = self.clock.monotonic() + seconds
        task = asyncio.create_task((watch or self.new_watch()).run())
        while not task.done():
            for _ in range(50):
                await asyncio.sleep(0)
            if self.clock.next_at > end:
                break
            self.clock.advance(self.clock.next_at - self.clock.monotonic())
        self.clock.advance(end - self.clock.monotonic())
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def run_with_an_event(self, seconds: float) -> float:
        """Run for a while, with a request in the feed after 80 seconds; return when it was read."""
        event = self.clock.monotonic() + 80
        self.feed.requests = [event]
        await self.run_for(seconds)
        return next(at for at in self.feed.reads if at >= event)


def watch_harness(
    clusters: int = 3,
    interval: float = 60,
    budget: Callable[[SimulatedTime], RateLimitBudget] | None = None,
    policy: Policy = WATCHED,
    pacer: Callable[[SimulatedTime], CallPacer] = lambda _clock: CallPacer(),
) -> WatchHarness:
    clock = SimulatedTime()
    atlas = WatchAtlas(clock, {f"c{number:03d}": [] for number in range(clusters)})
    store = FakeWatchStore(now=clock)
    feed = FakeFeed(clock)
    read: list[datetime | None] = []
    listed_at: list[float] = []

    async def on_listed() -> None:
        listed_at.append(clock.monotonic())

    project = Project(
        id=PROJECT_ID,
        name="shop",
        policies=Policies(policy),
        atlas=atlas,
        backups=budget(clock) if budget else UnlimitedBudget(),
    )

    projects = Projects([project])

    def new_watch() -> Watcher:
        return Watcher(
            projects,
            PROJECT_ID,
            store,
            feed,
            pacer(clock),
            interval=interval,
            on_read=read.append,
            on_listed=on_listed,
            monotonic=clock.monotonic,
            sleep=clock.sleep,
            jitter=lambda: 0.0,
        )

    return WatchHarness(clock, atlas, store, feed, new_watch, read, listed_at, projects)


async def test_60_clusters_are_each_read_once_per_interval() -> None:
    env = watch_harness(60)
    await env.run_for(119)
    counted = Counter(name for name, _ in env.atlas.reads)
    assert len(counted) == 60
    assert set(counted.values()) == {2}


async def test_shortest_interval_stays_below_a_quarter_of_the_rate_limit() -> None:
    env = watch_harness(400, interval=1)
    await env.run_for(240)
    assert 90 < env.atlas.most_in_a_minute <= 125
    assert max(Counter(name for name, _ in env.atlas.reads).values()) == 1


async def test_event_makes_all_clusters_be_read_immediately_the_last_with_a_job_first() -> None:
    env = watch_harness(25)
    ended = {"expired": True}
    env.atlas.jobs["c003"] = [a_job(id=f"{3:024x}", **ended)]
    env.atlas.jobs["c007"] = [a_job(id=f"{7:024x}", **ended)]
    read = await env.run_with_an_event(100)

    burst = [name for name, at in env.atlas.reads if read <= at < read + 1]
    assert len(burst) == 25
    assert burst[:2] == ["c007", "c003"]


async def test_feed_waits_four_seconds_for_its_turn_and_makes_clusters_urgent_that_wait() -> None:
    env = watch_harness(3, pacer=BusyPacer)
    env.feed.requests = [30.0]
    await env.run_for(60)

    assert env.feed.reads[:2] == [MAX_FEED_DELAY, 2 * MAX_FEED_DELAY]
    assert {round(at) for _, at in env.atlas.reads} == {46}


async def test_clusters_are_read_again_once_each_job_of_a_new_event_is_listed() -> None:
    env = watch_harness(3)
    env.feed.unlisted = 4.0
    env.atlas.jobs["c001"] = [job(1)]  # it is read more often
    read = await env.run_with_an_event(100)

    again = [name for name, at in env.atlas.reads if read + 4 <= at < read + 5]
    assert sorted(again) == ["c000", "c001", "c002"]
    (listed_at,) = env.listed_at
    assert read + 4 <= listed_at < read + 5


async def test_job_of_an_event_is_listed_only_once_a_cluster_that_failed_is_read() -> None:
    env = watch_harness(3, interval=600)
    env.atlas.faults["c001"] = [Unavailable()] * 3
    env.feed.requests = [env.clock.monotonic()]
    await env.run_for(100)

    assert env.listed_at == [env.atlas.times_of("c001")[3]]


@pytest.mark.parametrize(("hours", "is_time"), [(1, True), (48, False)])
async def test_job_tells_what_atlas_s_clock_showed_unless_its_id_has_no_time(
    hours: int, *, is_time: bool
) -> None:
    env, started = watch_harness(1), NOON + timedelta(hours=hours)
    env.atlas.jobs["c000"] = [job(int(started.timestamp()) << 64)]
    await env.run_for(1)

    assert (env.store.all_read_at == started) is is_time


@pytest.mark.parametrize("unreadable", ["", "c001"])
async def test_clusters_do_not_count_as_read_while_one_or_their_list_cannot_be_read(
    unreadable: str,
) -> None:
    env = watch_harness(3, interval=5)
    env.atlas.faults[unreadable] = [Unavailable(status=503)] * 100
    watch = env.new_watch()
    await env.run_for(40, watch)
    assert env.store.all_read_at is None
    assert set(env.read) == {None}

    env.atlas.faults.clear()
    await env.run_for(40, watch)
    assert env.store.all_read_at

    env.atlas.faults[unreadable] = [Unavailable(status=503)] * 100
    failing_since = env.clock()
    await env.run_for(100, watch)
    assert env.read[-1]
    assert env.read[-1] <= failing_since


async def test_many_events_stay_below_a_quarter_of_the_rate_limit() -> None:
    env = watch_harness(25)
    env.feed.requests = [env.clock.monotonic() + number for number in range(300)]
    await env.run_for(300)
    assert env.atlas.most_in_a_minute <= 125


async def test_watch_leaves_half_of_a_bucket_that_does_not_refill() -> None:
    bucket: list[RateLimitBudget] = []

    def build(clock: SimulatedTime) -> RateLimitBudget:
        bucket.append(RateLimitBudget(clock.monotonic))
        return bucket[0]

    env = watch_harness(400, interval=60, budget=build)
    left = BUCKET_SIZE
    plain = env.atlas.restore_jobs

    async def counted(project_id: str, cluster_name: str, **options: Any) -> ReadItems[RestoreJob]:
        nonlocal left
        left -= 1
        bucket[0].update(left, BUCKET_SIZE)
        return await plain(project_id, cluster_name, **options)

    env.atlas.restore_jobs = counted  # type: ignore[method-assign]  # the same, and it counts
    await env.run_for(600)

    assert BUCKET_SIZE / 2 - 30 < left <= BUCKET_SIZE / 2 + 16


async def test_cluster_with_an_open_download_is_read_often_until_it_ends() -> None:
    env = watch_harness(2, interval=300)
    env.atlas.jobs["c000"] = [a_job(expiresAt="2026-11-25T13:00:00Z"), a_job(expired=True)]
    env.atlas.jobs["c001"] = [a_job(deliveryType="automated"), a_job(expired=True)]

    async def end_the_download() -> None:
        await env.clock.sleep(120)
        env.atlas.jobs["c000"] = [a_job(expired=True)]

    ended = asyncio.create_task(end_the_download())
    await env.run_for(299)
    await ended
    gaps = {after - before for before, after in pairwise(env.atlas.times_of("c000"))}

    assert gaps == {Timings.open_job_interval}
    assert 120 <= env.atlas.times_of("c000")[-1] < 120 + 2 * Timings.open_job_interval
    assert len(env.atlas.times_of("c001")) == 1
    assert len(env.store.reads) == len(env.atlas.times_of("c000")) - 1
    assert env.store.lacked_at == [None, None, env.store.reads[-1]]


@pytest.mark.parametrize(("policy", "announced"), [(WATCHED, 1), (Policy(), 0)])
async def test_new_job_is_recorded_and_announced_once_if_its_cluster_is_watched(
    policy: Policy, announced: int
) -> None:
    env = watch_harness(1, interval=5, policy=policy)
    env.atlas.jobs["c000"] = [job(1)]
    await env.run_for(21)

    assert env.store.noted == [("c000", 1)]
    assert len(env.store.announced) == announced


async def test_reload_counts_at_the_next_read_of_a_running_watch() -> None:
    env = watch_harness(1, interval=5)
    env.atlas.jobs["c000"] = [job(1)]
    watch = env.new_watch()
    restores = replace(WATCHED, watch_restores=True)
    for policy in (WATCHED, restores, restores, WATCHED, Policy(), WATCHED):
        policies = Policies(policy)
        env.projects.update(PROJECT_ID, policies=policies)
        await env.run_for(11, watch)

    assert env.store.for_restores == [False, True, False, False, False]


async def test_unreadable_cluster_does_not_stop_the_others_and_is_read_again_soon() -> None:
    env = watch_harness(3, interval=60)
    env.atlas.faults["c001"] = [Unavailable()] * 3
    await env.run_for(59)

    assert [len(env.atlas.times_of(name)) for name in ("c000", "c001", "c002")] == [1, 4, 1]
    assert [name for name, _ in env.store.noted] == ["c002", "c000", "c001"]


async def test_hanging_clusters_do_not_block_the_others() -> None:
    env = watch_harness(20, interval=20)
    env.atlas.hangs = {f"c{number:03d}" for number in range(13, 20)}
    await env.run_for(79)

    assert {len(env.atlas.times_of(f"c{number:03d}")) for number in range(13)} == {4}
    assert env.atlas.most <= MAX_CONCURRENT_READS


async def test_cluster_is_read_by_one_read_at_a_time() -> None:
    env = watch_harness(1, interval=14)
    env.atlas.hangs = {"c000"}
    await env.run_for(100)

    assert env.atlas.most == 1


@pytest.mark.parametrize(("retry_after", "pause"), [(30.0, 30), (None, 10)])
async def test_429_pauses_the_whole_project(retry_after: float | None, pause: float) -> None:
    env = watch_harness(3, interval=5)
    env.atlas.faults["c001"] = [RateLimited(retry_after=retry_after)]
    env.atlas.hangs = {"c002"}  # an error that ends no pause
    await env.run_for(60)
    first, second = env.atlas.times_of("c001")[:2]

    assert pause <= second - first < pause + Timings.open_job_interval
    assert [at for _, at in env.atlas.reads if first < at < first + pause] == []


@pytest.mark.parametrize("error", [KeyRefused(), RoleMissing()])
async def test_refused_key_pauses_the_whole_project(error: Exception) -> None:
    env = watch_harness(100, interval=10)
    for name in env.atlas.jobs:
        env.atlas.faults[name] = [error] * 100

    await env.run_for(Timings.key_refused_pause * 2.5)

    assert len(env.atlas.reads) <= 3 * MAX_CONCURRENT_READS


async def test_known_clusters_are_read_while_the_list_fails() -> None:
    env = watch_harness(1, interval=15)
    plain = env.atlas.clusters

    async def once(project_id: str, **options: Any) -> ReadItems[Cluster]:
        found = await plain(project_id, **options)
        env.atlas.faults[""] = [Unavailable()] * 100
        return found

    env.atlas.clusters = once  # type: ignore[method-assign]  # the same, once
    await env.run_for(101)

    assert len(env.atlas.reads) == 7
    assert env.read == [NOON], "a round without the list counts as complete"


async def test_cluster_of_another_kind_has_no_jobs() -> None:
    env = watch_harness(1)
    env.atlas.faults = {"c000": [WrongClusterKind()]}
    await env.run_for(59)

    assert env.store.noted == [("c000", 0)]


async def test_404_of_a_listed_cluster_is_no_read_and_the_list_is_read_again() -> None:
    env = watch_harness(2, interval=300)
    env.atlas.faults = {"c000": [ClusterNotFound()], "c001": [ClusterNotFound()] * 100}
    await env.run_for(4)
    assert env.store.noted == []

    del env.atlas.jobs["c001"]
    await env.run_for(60)

    assert env.store.noted == [("c000", 0)]
    assert env.atlas.times_of("c001")[-1] < 10, "a deleted cluster is read on"
    assert env.store.all_read_at is not None


@pytest.mark.parametrize(("fault", "complete"), [(ClusterNotFound, True), (Unavailable, False)])
async def test_listed_cluster_that_atlas_does_not_find_for_a_minute_counts_as_one_without_jobs(
    fault: type[AtlasError], *, complete: bool
) -> None:
    env = watch_harness(2, interval=300)
    env.atlas.faults = {"c001": [ClusterNotFound()] * 4 + [fault()] * 100}
    watch = env.new_watch()
    await env.run_for(MISSING_AFTER - 1, watch)
    assert (env.store.all_read_at, env.store.noted) == (None, [("c000", 0)])

    env.feed.requests = [env.clock.monotonic() + 100]
    await env.run_for(120, watch)
    read_at = max(env.atlas.times_of("c000"))
    assert (env.listed_at == [read_at]) is complete
    assert env.store.noted == [("c000", 0)]
    assert (len(env.atlas.times_of("c001")) < 10) is complete, "it is read and listed on"


async def test_list_is_recorded_again_once_it_is_complete_or_longer() -> None:
    env = watch_harness(1, interval=300)
    watch = env.new_watch()
    env.atlas.unread = ("",)
    await env.run_for(4, watch)
    env.atlas.unread = ()
    await env.run_for(400, watch)
    env.atlas.jobs["c001"] = []
    await env.run_for(400, watch)

    assert env.store.adopted == [["c000"], ["c000"], ["c000", "c001"]]
    assert env.store.complete == [False, True, True]


@pytest.mark.parametrize("clusters", [0, 1])
async def test_jobs_of_a_deleted_cluster_are_recorded_as_gone(clusters: int) -> None:
    env = watch_harness(clusters)
    env.store.gone = ["old"]
    await env.run_for(1)

    assert env.store.noted == [("old", 0), ("c000", 0)][: 1 + clusters]
    assert env.read == [NOON], "a project without clusters counts as not read"


async def test_lists_with_an_unreadable_item_are_read_again_soon_and_nothing_is_gone() -> None:
    env = watch_harness(1, interval=300)
    env.store.gone, env.atlas.unread = ["old"], ("",)
    env.atlas.faults["old"] = [Unavailable(status=503)] * 100
    await env.run_for(65)

    assert env.store.all_read_at is None
    assert ("old", 0) not in env.store.noted
    assert env.atlas.times_of("old")
    assert env.atlas.lists == len(env.atlas.times_of("c000")) == 6


async def test_read_that_is_not_recorded_is_repeated_after_any_error() -> None:
    env = watch_harness(1, interval=5)
    env.store.faults = [NotRecorded(), ValueError("a mistake")]
    await env.run_for(30)

    assert env.store.noted == [("c000", 0)]


async def test_watch_is_recorded_regularly_also_while_atlas_hangs() -> None:
    env = watch_harness(20)
    env.atlas.hangs = set(env.atlas.jobs)
    await env.run_for(60)

    assert env.store.recorded >= 60 / Timings.watch_record_interval
    assert env.atlas.under_way == 0


async def test_unreadable_jobs_and_clusters_are_logged_once() -> None:
    env = watch_harness(1, interval=5)
    env.atlas.unread = (f"{7:024x}",)
    with structlog.testing.capture_logs() as log:
        await env.run_for(400)

    assert [(line["cluster"], line["why"]) for line in log if line["event"] == "left out"] == [
        (None, "1 cluster could not be read"),
        ("c000", "1 job could not be read"),
    ]
    assert env.atlas.lists > 1


@pytest.mark.parametrize(("unread", "complete"), [("", False), (f"{7:024x}", True)])
async def test_clusters_with_an_unreadable_job_count_as_read_only_if_its_id_is_known(
    unread: str, *, complete: bool
) -> None:
    env = watch_harness(3, interval=60)
    env.atlas.unread_jobs = (unread,)
    await env.run_for(40)

    assert (env.store.all_read_at is not None) is complete
    assert len(env.atlas.times_of("c000")) == 4, "it is not read again soon"


async def test_event_before_the_first_list_makes_the_clusters_be_read_immediately() -> None:
    env = watch_harness(20)
    env.feed.requests = [env.clock.monotonic()]
    await env.run_for(2)

    assert len({name for name, _ in env.atlas.reads}) == 20


async def test_clusters_of_a_list_that_failed_first_are_read_soon() -> None:
    env = watch_harness(2, interval=300)
    env.atlas.faults[""] = [Unavailable()]
    await env.run_for(Timings.open_job_interval + 2)

    assert len(env.atlas.reads) == 2
