"""The watch in simulated time: when it looks, what it stores, and what it does while Atlas fails.

The watch begins five seconds after `START`, at which the download `REF` was started. Times are in
seconds since `START`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.atlas import JobRef, WrongClusterKind
from bot.atlas.errors import Unavailable
from bot.cancellation.download import Download
from bot.cancellation.errors import NotRecorded
from bot.cancellation.policy import Policy
from bot.services.feed import Feed
from bot.services.watch import Watch
from bot.storage.download_store import DownloadStore, Listing
from tests.support.clock import SimulatedLoop, simulated
from tests.support.core import CoreEnvironment, core_environment
from tests.support.domain import AUTO_CANCEL, POLICY, REF, START, job_ref
from tests.support.fake_atlas import CANCELLED, CLUSTERS, EVENTS, restore_event

INTERVAL = 60.0
CLUSTER = REF.cluster_name
FAILED = Unavailable(status=503)


class NotingStore(DownloadStore):
    """A store that notes the lists that it gets, and fails as often as it is told."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.failures = 0
        self.listed: list[str] = []

    async def start_watch(self, project_id: str, at: datetime) -> datetime:
        self._fail()
        return await super().start_watch(project_id, at)

    async def record_listing(self, listing: Listing, policy: Policy) -> Sequence[Download]:
        self._fail()
        self.listed.append(listing.cluster)
        return await super().record_listing(listing, policy)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise NotRecorded


@dataclass
class Watched:
    """A project that is watched, and what the watch has reported."""

    env: CoreEnvironment
    store: NotingStore
    rounds: list[float] = field(default_factory=list)

    @property
    def seen(self) -> list[JobRef]:
        return [item.after.ref for item in self.env.download_changes if item.before is None]

    @property
    def detected(self) -> list[float]:
        """How long after their starts the new ones were stored, in seconds."""
        new = [item.after for item in self.env.download_changes if item.is_new]
        return [(item.stored_at - item.started_at).total_seconds() for item in new]

    @property
    def now(self) -> float:
        return (self.env.clock.now - START).total_seconds()

    async def until(self, seconds: float) -> None:
        """Let time pass until so many seconds after `START`."""
        await asyncio.sleep(seconds - self.now)

    def starts(self, at: float, *, cluster: str = CLUSTER) -> JobRef:
        """Start a download, which Atlas lists from now on."""
        ref = job_ref(START + timedelta(seconds=at), number=abs(round(at)) + 2, cluster=cluster)
        self.env.atlas.jobs_now[ref] = {}
        return ref

    def reads(self, name: str = CLUSTER) -> list[float]:
        """Return when something of Atlas was read."""
        atlas = self.env.atlas
        calls = zip(atlas.calls, atlas.called_at, strict=True)
        return [round(at, 3) for call, at in calls if call == name]

    async def stored(self, ref: JobRef) -> Download | None:
        return await self.env.downloads.get(ref.project_id, ref.job_id)

    def watch(self) -> Watch:
        env = self.env

        def note_round(at: datetime) -> None:
            self.rounds.append((at - START).total_seconds())

        feed = Feed(env.project, self.store, env.clock)
        monotonic = asyncio.get_running_loop().time
        return Watch(
            env.project, feed, self.store, note_round, INTERVAL, env.clock, monotonic=monotonic
        )


@asynccontextmanager
async def project(loop: SimulatedLoop, policy: Policy = POLICY) -> AsyncIterator[Watched]:
    """A project five seconds after the start of its first download."""
    async with core_environment(policy) as env:
        loop.clock = env.clock
        store = NotingStore(env.database, env.clock, env.lease)
        scene = Watched(env, store)
        await scene.until(5)
        yield scene


@asynccontextmanager
async def watched(loop: SimulatedLoop, policy: Policy = POLICY) -> AsyncIterator[Watched]:
    """Let the watch of a project run; its first round is done."""
    async with project(loop, policy) as scene:
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(5.5)
        try:
            yield scene
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


# Rounds


@simulated
async def test_first_round_stores_downloads_that_ran_before_without_a_time(
    loop: SimulatedLoop,
) -> None:
    async with watched(loop, AUTO_CANCEL) as scene:
        download = await scene.env.download()

    assert download.channel == AUTO_CANCEL.channel
    assert download.auto_cancel_at is None
    assert (scene.seen, scene.detected, scene.rounds) == ([REF], [], [5])


@simulated
async def test_later_download_is_new_and_gets_its_time(loop: SimulatedLoop) -> None:
    async with watched(loop, AUTO_CANCEL) as scene:
        await scene.until(40)
        later = scene.starts(40, cluster="added")
        await scene.until(65.5)
        download = await scene.env.download(later)

    assert download.auto_cancel_at == START + timedelta(seconds=65 + 90)
    assert (scene.detected, scene.rounds) == ([25], [5, 65])
    assert scene.reads(CLUSTERS) == [5, 65]


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, [5, 65, 125]), (33.0, [5, 71, 137])])
@simulated
async def test_interval_is_from_start_to_start_of_a_round_and_a_late_round_is_followed_at_once(
    loop: SimulatedLoop, seconds: float, rounds: list[float]
) -> None:
    """With 33 s a call the list of clusters and a cluster take 66 s."""
    async with project(loop) as scene:
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        scene.env.atlas.seconds = seconds
        task = asyncio.create_task(watch.run())
        await scene.until(210)
        task.cancel()

    assert scene.rounds[:3] == rounds


@simulated
async def test_at_most_eight_clusters_of_a_project_are_read_side_by_side(
    loop: SimulatedLoop,
) -> None:
    async with project(loop) as scene:
        names = [f"cluster{number}" for number in range(20)]
        scene.env.atlas.empty_clusters, scene.env.atlas.seconds = names, 1.0
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(12)
        task.cancel()

    began = sorted(at for name in (*names, CLUSTER) for at in scene.reads(name))
    assert began == [*[6] * 8, *[7] * 8, *[8] * 5]


@simulated
async def test_list_that_shows_the_same_is_stored_again_once_its_link_is_due(
    loop: SimulatedLoop,
) -> None:
    """Then the message says that the link is expected any moment."""
    async with watched(loop) as scene:
        scene.env.atlas.jobs_now[scene.starts(5)] = CANCELLED  # over: it has no link to expect
        await scene.until(400)

    assert scene.rounds == [5, 65, 125, 185, 245, 305, 365]
    at = [scene.rounds[index] for index in (0, 1, 3)]  # first, with the other one, due
    assert len(scene.store.listed) == len(at)


@simulated
async def test_link_is_due_three_minutes_after_the_start(loop: SimulatedLoop) -> None:
    async with project(loop) as scene:
        del scene.env.atlas.jobs_now[REF]
        scene.starts(5)
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(184)
        before = len(scene.store.listed)
        await scene.until(186)
        task.cancel()

    assert (before, len(scene.store.listed)) == (1, 2)


@simulated
async def test_list_that_another_reader_got_counts_from_that_read(loop: SimulatedLoop) -> None:
    async with project(loop) as scene:
        scene.env.atlas.age = timedelta(seconds=3)
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(6)
        task.cancel()
        download = await scene.env.download()

    assert download.read_at == START + timedelta(seconds=2)


@simulated
async def test_download_that_is_cancelled_elsewhere_is_seen_as_ended(loop: SimulatedLoop) -> None:
    async with watched(loop) as scene:
        scene.env.atlas.jobs_now[REF] = CANCELLED
        await scene.until(66)
        download = await scene.env.download()

    assert download.ended == "cancelled"


@pytest.mark.parametrize("unread", [[], [REF.job_id]])
@simulated
async def test_list_that_lacks_a_download_does_not_end_it(
    loop: SimulatedLoop, unread: list[str]
) -> None:
    async with watched(loop) as scene:
        del scene.env.atlas.jobs_now[REF]
        scene.env.atlas.empty_clusters, scene.env.atlas.unread = [CLUSTER], unread
        with capture_logs() as logs:
            await scene.until(130)
        download = await scene.env.download()

    assert download.ended is None
    left_out = [line for line in logs if line["event"] == "left out"]
    assert [line["cluster"] for line in left_out] == ([CLUSTER] if unread else [])


# Events of the activity feed


@simulated
async def test_event_of_the_feed_makes_the_watch_look_at_once(loop: SimulatedLoop) -> None:
    async with watched(loop) as scene:
        await scene.until(22)
        later = scene.starts(22)
        scene.env.atlas.events = [restore_event("dana@shop.example", later.started_at)]
        await scene.until(60)
        download = await scene.env.download(later)

    assert scene.detected == [6]
    assert download.starters.names == ("dana@shop.example",)
    assert (scene.reads(), scene.rounds) == ([5, 28], [5])


@pytest.mark.parametrize(
    ("listed_at", "sweeps"), [(30, [28, 31]), (36, [28, 31, 37]), (64, [28, 31, 37, 46])]
)
@simulated
async def test_watch_looks_again_until_the_job_of_an_event_is_listed_but_four_times_at_most(
    loop: SimulatedLoop, listed_at: float, sweeps: list[float]
) -> None:
    async with watched(loop) as scene:
        await scene.until(22)
        scene.env.atlas.events = [restore_event("dana@shop.example", scene.env.clock.now)]
        await scene.until(listed_at)
        scene.starts(22)
        await scene.until(65.5)

    assert scene.reads() == [5, *sweeps, 65]
    assert scene.detected == [sweeps[-1] - 22 if listed_at < sweeps[-1] else 65 - 22]


@simulated
async def test_event_during_sweeps_for_another_one_gets_sweeps_of_its_own(
    loop: SimulatedLoop,
) -> None:
    async with watched(loop) as scene:
        await scene.until(22)
        scene.env.atlas.events = [restore_event("dana@shop.example", scene.env.clock.now)]
        await scene.until(38)
        scene.env.atlas.events += [restore_event("eve@shop.example", scene.env.clock.now)]
        await scene.until(64.5)

    assert scene.reads() == [5, 28, 31, 37, 46, 46, 49, 55, 64]


@pytest.mark.parametrize(("apart", "sweeps"), [(5, [28]), (6, [28, 31, 37, 46])])
@simulated
async def test_job_within_five_seconds_of_an_event_is_the_job_of_the_event(
    loop: SimulatedLoop, apart: float, sweeps: list[float]
) -> None:
    async with watched(loop) as scene:
        await scene.until(22)
        later = scene.starts(22 - apart)
        event = restore_event("dana@shop.example", START + timedelta(seconds=22))
        scene.env.atlas.events = [event]
        await scene.until(64)

        assert await scene.stored(later)
    assert scene.reads() == [5, *sweeps]


@simulated
async def test_feed_is_read_every_eight_seconds_and_at_once_where_a_download_was_seen(
    loop: SimulatedLoop,
) -> None:
    """From 20 s after a start on the feed is to have its event, so that *Let it run* counts."""
    async with watched(loop) as scene:
        await scene.until(64)
        later = scene.starts(60)
        await scene.until(95)
        download = await scene.env.download(later)

    # REF is seen at 5, and its event is to be there at 20; the other one at 65, and at 80.
    assert scene.reads(EVENTS) == [5, 13, 20, 28, 36, 44, 52, 60, 65, 73, 80, 88]
    assert download.starters.read_at is not None


@simulated
async def test_event_that_was_there_before_is_no_new_start(loop: SimulatedLoop) -> None:
    """A restart finds the events of the last minutes; later reads of the feed show them again."""
    async with project(loop) as scene:
        scene.env.atlas.events = [restore_event("dana@shop.example")]
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(64)
        task.cancel()

    assert scene.reads() == [5, 5]  # the round, and the sweep for the event


@pytest.mark.parametrize(("minutes", "sweeps"), [(2.9, 4), (3.1, 0)])
@simulated
async def test_feed_is_read_back_three_minutes(
    loop: SimulatedLoop, minutes: float, sweeps: int
) -> None:
    async with project(loop) as scene:
        at = scene.env.clock.now - timedelta(minutes=minutes)
        scene.env.atlas.jobs_now, scene.env.atlas.empty_clusters = {}, [CLUSTER]
        scene.env.atlas.events = [restore_event("dana@shop.example", at)]
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(30)
        task.cancel()

    assert len(scene.reads()) == 1 + sweeps


@simulated
async def test_feed_is_read_back_to_the_start_of_a_download_whose_starter_is_not_known(
    loop: SimulatedLoop,
) -> None:
    async with project(loop) as scene:
        old = scene.starts(-600)
        event = restore_event("dana@shop.example", old.started_at - timedelta(seconds=4))
        scene.env.atlas.events = [event]
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        task = asyncio.create_task(watch.run())
        await scene.until(6)
        task.cancel()
        download = await scene.env.download(old)

    assert download.starters.names == ("dana@shop.example",)


# Failures


@pytest.mark.parametrize("broken", [CLUSTERS, "broken"])
@simulated
async def test_round_with_a_failed_read_is_no_complete_look_but_stores_the_rest(
    loop: SimulatedLoop, broken: str
) -> None:
    async with watched(loop) as scene:
        scene.env.atlas.empty_clusters = ["broken"]
        await scene.until(70)
        scene.env.atlas.faults[broken] = FAILED
        later = scene.starts(100)
        await scene.until(126)

        assert await scene.stored(later)
        assert scene.rounds == [5, 65]
        scene.env.atlas.faults.clear()
        await scene.until(190)

    assert scene.rounds == [5, 65, 185]


@pytest.mark.parametrize(
    ("broken", "cluster"), [(CLUSTERS, None), (CLUSTER, CLUSTER)], ids=["list", "cluster"]
)
@simulated
async def test_failed_read_is_a_warning_once_until_it_was_read_again(
    loop: SimulatedLoop, broken: str, cluster: str | None
) -> None:
    async with watched(loop) as scene:
        with capture_logs() as logs:
            scene.env.atlas.faults[broken] = FAILED
            await scene.until(130)
            scene.env.atlas.faults.clear()
            await scene.until(190)
            scene.env.atlas.faults[broken] = FAILED
            await scene.until(250)

    failed = [line for line in logs if line["event"] == "watch read failed"]
    assert [line["log_level"] for line in failed] == ["warning", "info", "warning"]
    assert {(line["project"], line["cluster"]) for line in failed} == {(REF.project_id, cluster)}
    assert {line["why"] for line in failed} == {str(FAILED)}


@simulated
async def test_cluster_without_such_jobs_is_no_failure(loop: SimulatedLoop) -> None:
    async with watched(loop) as scene:
        scene.env.atlas.empty_clusters = ["shared"]
        scene.env.atlas.faults["shared"] = WrongClusterKind(status=400)
        await scene.until(66)

    assert scene.rounds == [5, 65]


@simulated
async def test_list_of_clusters_with_unread_ones_keeps_those_that_were_known(
    loop: SimulatedLoop,
) -> None:
    async with watched(loop) as scene:
        del scene.env.atlas.jobs_now[REF]  # and with it the cluster
        scene.env.atlas.unread_clusters = [CLUSTER]
        await scene.until(66)
        scene.env.atlas.unread_clusters = []
        await scene.until(126)

    assert scene.reads() == [5, 65]
    assert scene.rounds == [5, 125]


@simulated
async def test_watch_goes_on_where_the_database_fails(loop: SimulatedLoop) -> None:
    async with project(loop) as scene:
        scene.store.failures = 2
        watch = scene.watch()
        await watch.start(scene.env.clock.now)
        assert scene.now == 15  # two pauses of five seconds
        task = asyncio.create_task(watch.run())
        await scene.until(16)
        scene.store.failures = 1
        later = scene.starts(40)
        await scene.until(76)
        assert await scene.stored(later) is None
        await scene.until(136)
        task.cancel()

        assert await scene.stored(later)
    assert scene.rounds == [15, 135]


@simulated
async def test_feed_that_fails_is_a_warning_once_until_it_was_read_again(
    loop: SimulatedLoop,
) -> None:
    async with watched(loop) as scene:
        with capture_logs() as logs:
            scene.env.atlas.faults[EVENTS] = FAILED
            await scene.until(40)
            scene.env.atlas.faults.clear()
            await scene.until(50)
            scene.env.atlas.faults[EVENTS] = FAILED
            await scene.until(55)

    failed = [line for line in logs if line["event"] == "activity feed not read"]
    assert [line["log_level"] for line in failed] == ["warning", "info", "info", "info", "warning"]
    assert {(line["project"], line["why"]) for line in failed} == {(REF.project_id, str(FAILED))}
