"""Looking for jobs over many clusters: how many calls, how many at once, and what is said."""

from __future__ import annotations

import asyncio

import pytest

from bot.atlas import KeyRefused, RoleMissing, TimedOut, Unavailable, WrongClusterKind
from bot.cancellation.errors import RateLimitReserved
from bot.cancellation.policy import Policy
from bot.cancellation.projects import Project, Projects
from bot.services.job_search import AT_ONCE, CLUSTERS_HOLD, JobFinder
from bot.services.rate_limit import LIMIT, MARGIN, PAUSE, SHARE, RateLimitBudget
from tests.support.domain import JOB_ID, PROJECT_ID, a_job
from tests.support.fake_atlas import FakeAtlas

OTHER_ID = "5b6212af90dc76637950a2c7"
NOWHERE = "f" * 24


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Around:
    """One project, or two, and a finder."""

    def __init__(self, *clusters: str, patience: float = 5.0) -> None:
        self.clock = Clock()
        self.atlas = FakeAtlas({name: [] for name in clusters})
        self.other = FakeAtlas({"else": [a_job()]})
        self.project = Project(id=PROJECT_ID, name="shop-prod", policy=Policy(), atlas=self.atlas)
        self.second = Project(id=OTHER_ID, name="shop-dev", policy=Policy(), atlas=self.other)
        projects = Projects([self.project, self.second])
        self.bucket = RateLimitBudget(self.clock)
        self.finder = JobFinder(
            projects, {PROJECT_ID: self.bucket}, monotonic=self.clock, patience=patience
        )


def names(count: int) -> list[str]:
    return [f"cluster-{number:03}" for number in range(count)]


@pytest.mark.parametrize("count", [1, 60, 400])
async def test_a_search_asks_each_cluster_once_and_only_so_many_at_once(count: int) -> None:
    around = Around(*names(count))
    search = await around.finder.search(NOWHERE, [around.project])

    assert search.found is None
    assert search.unseen == []
    assert sorted(around.atlas.calls) == ["", *names(count)]
    assert around.atlas.most <= AT_ONCE


async def test_a_search_stops_at_the_first_hit() -> None:
    around = Around(*names(400))
    around.atlas.jobs["cluster-000"] = [a_job()]
    search = await around.finder.search(JOB_ID, [around.project])

    assert search.found
    assert search.found.cluster == "cluster-000"
    assert len(around.atlas.calls) <= 1 + 2 * AT_ONCE


async def test_a_hit_does_not_wait_for_the_slow() -> None:
    around = Around("slow", "quick")
    around.atlas.jobs["quick"] = [a_job()]
    around.atlas.gates["slow"] = asyncio.Event()
    search = await asyncio.wait_for(around.finder.search(JOB_ID, [around.project]), 1.0)

    assert search.found
    assert search.found.cluster == "quick"


async def test_clusters_that_are_hinted_at_are_asked_first_and_alone() -> None:
    around = Around(*names(60))
    around.atlas.jobs["cluster-059"] = [a_job()]
    hints = ["restore", "cluster-059", "of"]
    search = await around.finder.search(JOB_ID, [around.project], hints=hints)

    assert search.found
    assert around.atlas.calls == ["", "cluster-059"]


async def test_a_job_that_was_listed_before_costs_no_call() -> None:
    around = Around(*names(3))
    around.atlas.jobs["cluster-001"] = [a_job()]
    await around.finder.listing([around.project])
    before = len(around.atlas.calls)
    search = await around.finder.search(JOB_ID, [around.project])

    assert search.found
    assert len(around.atlas.calls) == before


async def test_what_is_about_to_be_searched_is_told_once() -> None:
    around = Around(*names(60))
    told: list[int] = []

    async def tell(places: object) -> None:
        told.append(len(places))  # type: ignore[arg-type]  # a list of places

    await around.finder.search(NOWHERE, [around.project, around.second], told=tell)

    assert told == [61]


async def test_a_broken_key_hides_no_other_project() -> None:
    around = Around("prod-eu")
    around.atlas.faults[""] = KeyRefused()
    search = await around.finder.search(JOB_ID, [around.project, around.second])
    listing = await around.finder.listing([around.project, around.second])

    assert search.found
    assert search.found.project is around.second
    assert [found.place.cluster for found in listing.jobs] == ["else"]
    assert [(each.project, each.cluster) for each in listing.unseen] == [("shop-prod", None)]
    assert "did not accept the bot's key" in listing.unseen[0].why


async def test_a_missing_role_is_found_out_once_and_not_for_every_cluster() -> None:
    around = Around(*names(400))
    around.atlas.faults |= dict.fromkeys(names(400), RoleMissing())
    search = await around.finder.search(NOWHERE, [around.project])

    assert [(each.project, each.cluster) for each in search.unseen] == [("shop-prod", None)]
    assert len(around.atlas.calls) <= 1 + 2 * AT_ONCE


async def test_a_cluster_that_cannot_be_read_is_named() -> None:
    around = Around("prod-eu", "prod-us")
    around.atlas.faults["prod-eu"] = Unavailable()
    around.atlas.jobs["prod-us"] = [a_job()]
    listing = await around.finder.listing([around.project])

    assert [found.place.cluster for found in listing.jobs] == ["prod-us"]
    assert [each.cluster for each in listing.unseen] == ["prod-eu"]


async def test_what_was_not_reached_in_time_is_named() -> None:
    around = Around("prod-eu", "prod-us", patience=0.05)
    around.atlas.gates["prod-us"] = asyncio.Event()
    listing = await around.finder.listing([around.project])
    search = await around.finder.search(NOWHERE, [around.project])
    await around.finder.close()

    assert [(each.cluster, each.why) for each in listing.unseen] == [("prod-us", str(TimedOut()))]
    assert [each.cluster for each in search.unseen] == ["prod-us"]


async def test_projects_that_do_not_answer_in_time_are_named() -> None:
    around = Around("prod-eu", patience=0.05)
    around.atlas.gates[""] = asyncio.Event()
    search = await around.finder.search(NOWHERE, [around.project])
    await around.finder.close()

    assert [(each.project, each.cluster) for each in search.unseen] == [("shop-prod", None)]


async def test_a_flex_cluster_is_named_as_such_and_an_unknown_one_is_nothing() -> None:
    around = Around("prod-eu")
    around.atlas.faults["sketch"] = WrongClusterKind()
    flex = await around.finder.listing([around.project], cluster="sketch")
    unknown = await around.finder.listing([around.project], cluster="nosuch")

    assert [(each.cluster, each.why) for each in flex.unseen] == [
        ("sketch", str(WrongClusterKind()))
    ]
    assert (unknown.jobs, unknown.unseen) == ((), ())


async def test_only_what_can_be_cancelled_is_listed_newest_first() -> None:
    around = Around("prod-eu")
    old = a_job(id="1" * 24, timestamp="2026-11-24T09:00:00Z")
    over = a_job(id="2" * 24, cancelled=True)
    other = a_job(id="3" * 24, deliveryType="automated")
    around.atlas.jobs["prod-eu"] = [old, over, other, a_job()]
    listing = await around.finder.listing([around.project])

    assert [found.job.id for found in listing.jobs] == [JOB_ID, "1" * 24]


async def test_lists_one_after_the_other_cost_less_than_flows_back_into_the_bucket() -> None:
    around = Around(*names(60))
    for _ in range(10):
        await around.finder.listing([around.project])
        around.clock.now += 1.0

    assert len(around.atlas.calls) <= 1 + 60 + 60  # 8 a second flow back: once in 7.2 seconds


async def test_looking_around_stops_at_a_fifth_of_the_bucket() -> None:
    around = Around(*names(400))
    left = LIMIT // SHARE + MARGIN + 10
    around.bucket.seen(left, LIMIT)
    around.atlas.left = lambda made: around.bucket.seen(left - made, LIMIT)
    search = await around.finder.search(NOWHERE, [around.project])
    asked = [cluster for cluster in around.atlas.calls if cluster]

    assert 0 < len(asked) <= 10
    assert [each.why for each in search.unseen] == [str(RateLimitReserved())]


def test_a_bucket_goes_by_what_atlas_says() -> None:
    clock = Clock()
    bucket = RateLimitBudget(clock)
    bucket.seen(250, 1200)

    with pytest.raises(RateLimitReserved), bucket.call():
        pass
    clock.now += PAUSE
    with bucket.call():
        bucket.seen(900, 1200)
    with bucket.call():
        pass


def test_a_bucket_of_which_atlas_says_nothing_goes_by_the_documents() -> None:
    clock = Clock()
    bucket = RateLimitBudget(clock)
    made = 0
    while made < LIMIT:
        try:
            with bucket.call():
                bucket.seen(None)
        except RateLimitReserved:
            break
        made += 1
    clock.now += 60
    with bucket.call():
        pass

    assert made == LIMIT - LIMIT // SHARE - MARGIN


async def test_slow_or_unavailable_atlas_gives_the_last_known_clusters() -> None:
    around = Around("prod-eu")
    around.atlas.gates[""] = asyncio.Event()
    with pytest.raises(TimedOut):
        await around.finder.clusters(PROJECT_ID, patience=0.01)
    around.atlas.gates[""].set()
    assert await around.finder.clusters(PROJECT_ID, patience=1) == ("prod-eu",)
    around.clock.now += CLUSTERS_HOLD + 1

    around.atlas.gates[""].clear()
    assert await around.finder.clusters(PROJECT_ID, patience=0.01) == ("prod-eu",)
    around.atlas.gates[""].set()
    await asyncio.sleep(0)
    around.clock.now += CLUSTERS_HOLD + 1
    around.atlas.faults[""] = Unavailable()
    assert await around.finder.clusters(PROJECT_ID, patience=1) == ("prod-eu",)


async def test_refused_key_removes_the_last_known_clusters() -> None:
    around = Around("prod-eu")
    await around.finder.clusters(PROJECT_ID, patience=1)
    around.clock.now += CLUSTERS_HOLD + 1

    around.atlas.faults[""] = KeyRefused()
    with pytest.raises(KeyRefused):
        await around.finder.clusters(PROJECT_ID, patience=1)
    around.atlas.faults[""] = Unavailable()
    with pytest.raises(Unavailable):
        await around.finder.clusters(PROJECT_ID, patience=1)
