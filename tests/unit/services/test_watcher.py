"""The watch: what it announces, when it reads which cluster, and when it pauses."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from bot.atlas import (
    AtlasClient,
    Cluster,
    ClusterNotFound,
    KeyRefused,
    RateLimited,
    RoleMissing,
    Unavailable,
    WrongClusterKind,
)
from bot.cancellation.errors import NotRecorded, RateLimitReserved
from bot.cancellation.watched_job import JobChange, RecordedJob, WatchedState, compare
from bot.services.rate_limit import BUCKET_SIZE, RateLimitBudget
from bot.services.watch.poll_schedule import (
    MAX_RATE_LIMIT_BACKOFF,
    PollSchedule,
    rate_limit_backoff,
    retry_interval,
)
from bot.services.watch.watcher import MAX_CONCURRENT_READS, Watcher
from bot.storage.watch_store import WatchStore
from bot.timings import Timings
from tests.support.domain import PROJECT_ID, Clock, a_job

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from bot.atlas import RestoreJob

LINK = ["https://x.invalid/y"]


# What a look changes


def told(findings: Sequence[JobChange]) -> list[tuple[str, str]]:
    return [(each.job_id[-1], each.seen) for each in findings if each.told]


def job(number: int, **changes: object) -> RestoreJob:
    return a_job(id=f"{number:024x}", **changes)


def known(number: int, seen: WatchedState, *, announced: bool = True) -> dict[str, RecordedJob]:
    return {f"{number:024x}": RecordedJob(seen=seen, announced=announced)}


def test_new_jobs_are_announced_oldest_first() -> None:
    assert told(compare([job(2, deliveryUrl=LINK), job(1)], {}, first=True)) == [
        ("1", WatchedState.IN_PROGRESS),
        ("2", WatchedState.LINK_LIVE),
    ]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"deliveryUrl": LINK}, WatchedState.LINK_LIVE),
        ({"cancelled": True}, WatchedState.CANCELLED),
        ({"expired": True}, WatchedState.EXPIRED),
        ({"failed": True}, WatchedState.FAILED),
        ({"finishedAt": "2026-11-25T11:00:00Z"}, WatchedState.FINISHED),
    ],
)
def test_each_change_of_an_announced_job_is_announced(
    change: dict[str, object], seen: WatchedState
) -> None:
    found = compare([job(1, **change)], known(1, WatchedState.IN_PROGRESS), first=False)

    assert [(each.seen, each.is_new, each.told) for each in found] == [(seen, False, True)]


def test_ended_job_at_the_first_read_is_recorded_and_not_announced() -> None:
    (found,) = compare([job(1, expired=True)], {}, first=True)

    assert (found.is_new, found.told) == (True, False)


def test_job_that_ended_between_two_reads_is_announced() -> None:
    assert told(compare([job(1, expired=True)], {}, first=False)) == [("1", WatchedState.EXPIRED)]


def test_unchanged_job_is_not_announced_again() -> None:
    assert compare([job(1)], known(1, WatchedState.IN_PROGRESS), first=False) == []


def test_other_restore_types_are_not_watched() -> None:
    others = [job(1, deliveryType="automated"), job(2, deliveryType="pointInTime")]

    assert compare(others, {}, first=False) == []


def test_open_job_that_disappears_is_announced_as_gone() -> None:
    assert told(compare([], known(1, WatchedState.LINK_LIVE), first=False)) == [
        ("1", WatchedState.GONE)
    ]


@pytest.mark.parametrize("seen", [seen for seen in WatchedState if seen.is_over])
def test_ended_job_that_disappears_is_not_announced(seen: WatchedState) -> None:
    assert compare([], known(1, seen), first=False) == []


def test_change_of_an_unannounced_job_is_announced_only_if_cancellable() -> None:
    before = known(1, WatchedState.EXPIRED, announced=False)

    assert told(compare([job(1, failed=True)], before, first=False)) == []
    assert told(compare([job(1)], before, first=False)) == [("1", WatchedState.IN_PROGRESS)]


# When it looks


def test_reads_are_spread_evenly_over_the_interval() -> None:
    schedule = PollSchedule(60)
    schedule.set_clusters("abcd", 0)

    assert [schedule.pop_due(now) for now in (0, 14, 15, 30, 44, 45)] == [
        "a",
        None,
        "b",
        "c",
        None,
        "d",
    ]


def test_unchanged_clusters_keep_their_times() -> None:
    schedule = PollSchedule(60)
    schedule.set_clusters("ab", 0)
    schedule.set_clusters("ba", 25)

    assert schedule.next_due == 0
    assert (schedule.pop_due(25), schedule.next_due) == ("a", 30)


def test_new_cluster_is_read_before_known_ones() -> None:
    schedule = PollSchedule(60)
    schedule.set_clusters("ab", 0)
    for now in (0, 30):
        schedule.reschedule(str(schedule.pop_due(now)), now)
    schedule.set_clusters("abz", 40)

    assert [schedule.pop_due(now) for now in (40, 60, 80)] == ["z", "a", "b"]


def test_cluster_in_flight_keeps_its_time_when_others_change() -> None:
    schedule = PollSchedule(60)
    schedule.set_clusters("ab", 0)
    assert schedule.pop_due(0) == "a"
    schedule.set_clusters("abz", 1)
    schedule.reschedule("a", 2)

    assert [schedule.pop_due(100), schedule.pop_due(100), schedule.pop_due(100)] == ["z", "b", "a"]


def test_removed_cluster_is_not_rescheduled() -> None:
    schedule = PollSchedule(60)
    schedule.set_clusters("a", 0)
    schedule.pop_due(0)
    schedule.set_clusters("", 1)
    schedule.reschedule("a", 2)

    assert schedule.pop_due(1000) is None


@pytest.mark.parametrize(
    ("ended", "retry_in", "due"),
    [(0, None, 60), (59, None, 60), (60, None, 120), (200, None, 240), (7, 5.0, 12), (7, 0.0, 7)],
)
def test_late_read_keeps_the_pace_and_skips_missed_ones(
    ended: float, retry_in: float | None, due: float
) -> None:
    schedule = PollSchedule(60)
    schedule.set_clusters("a", 0)
    schedule.pop_due(0)
    schedule.reschedule("a", ended, retry_in)

    assert schedule.next_due == due


@pytest.mark.parametrize(
    ("interval", "pauses"), [(1, [1, 2, 4, 8, 15, 15]), (60, [60, 60]), (3600, [60, 60])]
)
def test_failed_cluster_is_retried_within_a_minute(interval: float, pauses: list[float]) -> None:
    assert [retry_interval(interval, n + 1) for n in range(len(pauses))] == pauses


def test_backoff_after_429_follows_retry_after_and_grows() -> None:
    assert rate_limit_backoff(1, 7, 0) == 7
    assert [rate_limit_backoff(n, None, 0) for n in (1, 2, 3)] == [10, 20, 40]
    assert [
        rate_limit_backoff(2, 7, 0),
        rate_limit_backoff(2, 55, 0),
        rate_limit_backoff(99, 1, 0),
    ] == [20, 55, MAX_RATE_LIMIT_BACKOFF]
    assert rate_limit_backoff(1, 10, 1) == 11


# The loop


class Moments(Clock):
    """A clock that stops the test at its end, and lets others run while somebody sleeps."""

    end: float = 0.0

    async def sleep(self, seconds: float) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        if self.monotonic() >= self.end:
            raise asyncio.CancelledError
        await Clock.sleep(self, seconds)


@dataclass
class FakeAtlas(AtlasClient):
    """Clusters and their jobs; `faults` are raised in turn, by cluster, or for the list as ``."""

    clock: Clock
    jobs: dict[str, list[RestoreJob]]
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    looks: list[tuple[str, float]] = field(default_factory=list)
    lists: int = 0
    under_way: int = 0
    most: int = 0

    async def clusters(self, project_id: str) -> list[Cluster]:
        self.lists += 1
        self._fail("")
        return [Cluster(name=name) for name in self.jobs]

    async def restore_jobs(
        self, project_id: str, cluster_name: str, *, max_attempts: int = 3
    ) -> list[RestoreJob]:
        assert max_attempts == 1
        self.looks.append((cluster_name, self.clock.monotonic()))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if cluster_name in self.hangs:
                await asyncio.get_running_loop().create_future()
            self._fail(cluster_name)
            return self.jobs[cluster_name]
        finally:
            self.under_way -= 1

    def _fail(self, what: str) -> None:
        if self.faults.get(what):
            raise self.faults[what].pop(0)

    def times_of(self, cluster: str) -> list[float]:
        return [at for name, at in self.looks if name == cluster]


@dataclass
class FakeWatchStore(WatchStore):
    """A record in memory: held or not, with faults raised in turn."""

    held: bool = True
    faults: list[Exception] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    adopted: list[list[str]] = field(default_factory=list)
    noted: list[tuple[str, int]] = field(default_factory=list)
    holds: int = 0
    released: int = 0

    async def hold(self, project_id: str) -> bool:
        self.holds += 1
        return self.held

    async def release(self, project_id: str) -> None:
        self.released += 1

    async def adopt(self, project_id: str, clusters: Collection[str]) -> list[str] | None:
        self.adopted.append(sorted(clusters))
        return self.gone if self.held else None

    async def note(
        self, project_id: str, cluster: str, jobs: Sequence[RestoreJob]
    ) -> list[JobChange] | None:
        if self.faults:
            raise self.faults.pop(0)
        if not self.held:
            return None
        self.noted.append((cluster, len(jobs)))
        return compare(jobs, {}, first=False)


class UnlimitedBudget(RateLimitBudget):
    """A rate limit that is never exhausted."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)

    @contextmanager
    def call(self, *, reserve: float = 0.0) -> Iterator[None]:
        assert reserve == 0.5
        yield


@dataclass
class Scene:
    clock: Moments
    atlas: FakeAtlas
    notes: FakeWatchStore
    watch: Watcher
    told: list[float]

    @property
    def began(self) -> float:
        return self.atlas.looks[0][1]

    async def goes_on(self, seconds: float) -> None:
        """Let the watch run for a while, and end it as the bot does."""
        self.clock.end = self.clock.monotonic() + seconds
        with pytest.raises(asyncio.CancelledError):
            await self.watch.run()


def scene(
    clusters: int = 3,
    interval: float = 60,
    budget: Callable[[Clock], RateLimitBudget] | None = None,
) -> Scene:
    clock = Moments()
    atlas = FakeAtlas(clock, {f"c{number:03d}": [] for number in range(clusters)})
    notes = FakeWatchStore()
    told: list[float] = []
    watch = Watcher(
        PROJECT_ID,
        atlas,
        budget(clock) if budget else UnlimitedBudget(),
        notes,
        interval=interval,
        on_change=lambda: told.append(clock.monotonic()),
        monotonic=clock.monotonic,
        sleep=clock.sleep,
        jitter=lambda: 0.0,
    )
    return Scene(clock, atlas, notes, watch, told)


async def test_400_clusters_are_each_read_once_per_interval_at_an_even_pace() -> None:
    here = scene(400)

    await here.goes_on(119)

    counted = Counter(name for name, _ in here.atlas.looks)
    assert len(counted) == 400
    assert set(counted.values()) <= {1, 2}
    times = [at for _, at in here.atlas.looks]
    assert max(after - before for before, after in pairwise(times)) < 0.16
    assert here.atlas.lists == 2


async def test_shortest_interval_stays_below_the_rate_limit() -> None:
    """500 calls come back a minute."""
    here = scene(400, interval=1)

    await here.goes_on(120)

    assert 700 < len(here.atlas.looks) < 1000
    times = [at for _, at in here.atlas.looks]
    assert (
        min(after - before for before, after in pairwise(times))
        > Timings.watch_read_interval * 0.99
    )
    assert max(Counter(name for name, _ in here.atlas.looks).values()) <= 3


async def test_watch_leaves_half_of_a_bucket_that_does_not_refill() -> None:
    bucket: list[RateLimitBudget] = []

    def build(clock: Clock) -> RateLimitBudget:
        bucket.append(RateLimitBudget(clock.monotonic))
        return bucket[0]

    here = scene(400, interval=60, budget=build)
    left = BUCKET_SIZE
    plain = here.atlas.restore_jobs

    async def counted(
        project_id: str, cluster_name: str, *, max_attempts: int = 3
    ) -> list[RestoreJob]:
        nonlocal left
        left -= 1
        bucket[0].update(left, BUCKET_SIZE)
        return await plain(project_id, cluster_name, max_attempts=max_attempts)

    here.atlas.restore_jobs = counted  # type: ignore[method-assign]  # the same, and it counts
    await here.goes_on(300)

    assert BUCKET_SIZE / 2 - 30 < left <= BUCKET_SIZE / 2 + 16


async def test_single_cluster_is_read_every_interval() -> None:
    here = scene(1, interval=5)

    await here.goes_on(21)

    later = here.atlas.times_of("c000")[1:]
    assert [after - before for before, after in pairwise(later)] == [5, 5, 5]


async def test_new_job_is_announced_at_once_and_unchanged_jobs_are_not_recorded_again() -> None:
    here = scene(1, interval=5)
    here.atlas.jobs["c000"] = [job(1)]

    await here.goes_on(21)

    assert here.notes.noted == [("c000", 1)]
    assert len(here.told) == 1


async def test_change_is_recorded() -> None:
    here = scene(1, interval=5)
    await here.goes_on(4)
    here.atlas.jobs["c000"] = [job(1)]
    await here.goes_on(4)

    assert here.notes.noted == [("c000", 0), ("c000", 1)]


async def test_unreadable_cluster_does_not_stop_the_others() -> None:
    here = scene(3, interval=5)
    here.atlas.faults["c001"] = [Unavailable()] * 3

    await here.goes_on(39)

    assert len(here.atlas.times_of("c000")) == len(here.atlas.times_of("c002")) == 8
    assert [name for name, _ in here.notes.noted] == ["c000", "c002", "c001"]


async def test_hanging_clusters_do_not_block_the_others() -> None:
    here = scene(20, interval=5)
    here.atlas.hangs = {f"c{number:03d}" for number in range(MAX_CONCURRENT_READS - 1)}

    await here.goes_on(20)

    others = [f"c{number:03d}" for number in range(MAX_CONCURRENT_READS - 1, 20)]
    assert {len(here.atlas.times_of(name)) for name in others} == {4}
    assert here.atlas.most <= MAX_CONCURRENT_READS


async def test_429_pauses_the_whole_project() -> None:
    here = scene(3, interval=5)
    here.atlas.faults["c001"] = [RateLimited(retry_after=30), RateLimited(retry_after=1)]

    await here.goes_on(90)

    first, second, third = (at - here.began for at in here.atlas.times_of("c001")[:3])
    times = sorted(at - here.began for _, at in here.atlas.looks)
    assert 30 <= second - first < 30 + Timings.watch_lease_renewal_interval
    assert 20 <= third - second < 20 + Timings.watch_lease_renewal_interval
    assert [at for at in times if first < at < first + 30] == []


@pytest.mark.parametrize("error", [KeyRefused(), RoleMissing()])
async def test_refused_key_pauses_the_whole_project(error: Exception) -> None:
    here = scene(100, interval=10)
    for name in here.atlas.jobs:
        here.atlas.faults[name] = [error] * 100

    await here.goes_on(Timings.key_refused_pause * 2.5)

    assert len(here.atlas.looks) <= 3 * MAX_CONCURRENT_READS


async def test_reserve_of_the_rate_limit_is_not_used() -> None:
    class ExhaustedBudget(RateLimitBudget):
        @contextmanager
        def call(self, *, reserve: float = 0.0) -> Iterator[None]:
            raise RateLimitReserved
            yield

    here = scene(3, budget=lambda clock: ExhaustedBudget(clock.monotonic))
    await here.goes_on(60)

    assert here.atlas.looks == []


async def test_known_clusters_are_read_while_the_list_fails() -> None:
    here = scene(1, interval=15)
    await here.goes_on(1)
    here.atlas.faults[""] = [Unavailable()] * 3

    await here.goes_on(1)
    assert here.atlas.lists == 2
    await here.goes_on(60)

    assert here.notes.adopted == [["c000"], ["c000"]]


async def test_failing_list_stops_no_read() -> None:
    here = scene(1, interval=20)
    here.atlas.faults = {"": []}
    plain = here.atlas.clusters

    async def sometimes(project_id: str) -> list[Cluster]:
        found = await plain(project_id)
        here.atlas.faults[""] = [Unavailable()] * 100
        return found

    here.atlas.clusters = sometimes  # type: ignore[method-assign]  # the same, once
    await here.goes_on(101)

    assert len(here.atlas.looks) == 6


async def test_deleted_or_unsupported_cluster_has_no_jobs() -> None:
    here = scene(2)
    here.atlas.faults = {"c000": [ClusterNotFound()], "c001": [WrongClusterKind()]}

    await here.goes_on(59)

    assert here.notes.noted == [("c000", 0), ("c001", 0)]


async def test_jobs_of_a_deleted_cluster_are_recorded_as_gone() -> None:
    here = scene(1)
    here.notes.gone = ["old"]

    await here.goes_on(1)

    assert here.notes.noted == [("old", 0), ("c000", 0)]


async def test_without_lease_nothing_is_read() -> None:
    here = scene(3)
    here.notes.held = False

    await here.goes_on(60)

    assert (here.atlas.looks, here.atlas.lists) == ([], 0)
    assert here.notes.holds == pytest.approx(60 / Timings.watch_lease_renewal_interval, abs=1)


async def test_lost_lease_stops_reads_and_a_new_lease_starts_afresh() -> None:
    here = scene(1, interval=5)
    original = here.notes.hold
    held = iter([True, False, False])

    async def hold(project_id: str) -> bool:
        here.notes.held = next(held, True)
        return await original(project_id)

    here.notes.hold = hold  # type: ignore[method-assign]  # the same, by turns
    await here.goes_on(40)

    looks = [at - here.began for at in here.atlas.times_of("c000")]
    assert [
        at
        for at in looks
        if Timings.watch_lease_renewal_interval < at < 2 * Timings.watch_lease_renewal_interval
    ] == []
    assert here.notes.noted == [("c000", 0), ("c000", 0)]  # nothing is taken for written


async def test_read_after_a_takeover_announces_nothing() -> None:
    here = scene(1, interval=5)
    here.atlas.jobs["c000"] = [job(1)]
    plain = here.notes.note

    async def lost(
        project_id: str, cluster: str, jobs: Sequence[RestoreJob]
    ) -> list[JobChange] | None:
        here.notes.held = False
        return await plain(project_id, cluster, jobs)

    here.notes.note = lost  # type: ignore[method-assign]  # the same, too late
    await here.goes_on(60)

    assert here.told == []
    assert len(here.atlas.looks) == 1


async def test_unrecorded_read_is_repeated() -> None:
    here = scene(1, interval=5)
    here.notes.faults = [NotRecorded(), NotRecorded()]

    await here.goes_on(30)

    assert here.notes.noted == [("c000", 0)]


async def test_unexpected_error_does_not_stop_the_watch() -> None:
    here = scene(2, interval=5)
    here.notes.faults = [ValueError("a mistake")]

    await here.goes_on(12)

    assert sorted(name for name, _ in here.notes.noted) == ["c000", "c001"]


async def test_stop_releases_the_lease() -> None:
    here = scene(20)
    here.atlas.hangs = set(here.atlas.jobs)

    await here.goes_on(60)

    assert here.notes.released == 1
    assert here.atlas.under_way == 0
