"""Job searches over many clusters: calls, concurrency, rate limit, and reported failures."""

import asyncio

import pytest

from bot.atlas import KeyRefused, TimedOut, WrongClusterKind
from bot.cancellation.errors import RateLimitReserved
from bot.cancellation.policy import Policies
from bot.services.job_search import MAX_CONCURRENT_CALLS, JobFinder
from bot.services.projects import Project
from bot.services.rate_limit import BUCKET_SIZE, MARGIN, PROBE_INTERVAL, RESERVE, RateLimitBudget
from tests.support.clock import FakeClock
from tests.support.domain import JOB_ID, PROJECT_ID, a_job
from tests.support.fake_atlas import FakeAtlas

OTHER_ID = "5b6212af90dc76637950a2c7"
NOWHERE = "f" * 24


class SearchHarness:
    """One or two projects over fake clients, and a finder."""

    def __init__(self, *clusters: str, timeout: float = 5.0) -> None:
        self.clock = FakeClock()
        self.atlas = FakeAtlas({name: [] for name in clusters})
        self.other = FakeAtlas({"else": [a_job()]})
        self.budget = RateLimitBudget(self.clock.monotonic)
        self.project = Project(
            id=PROJECT_ID,
            name="shop-prod",
            policies=Policies(),
            atlas=self.atlas,
            backups=self.budget,
        )
        self.second = Project(id=OTHER_ID, name="shop-dev", policies=Policies(), atlas=self.other)
        self.finder = JobFinder(monotonic=self.clock.monotonic, timeout=timeout)


def names(count: int) -> list[str]:
    return [f"cluster-{number:03}" for number in range(count)]


@pytest.mark.parametrize("count", [1, 60, 400])
async def test_search_reads_each_cluster_once_with_limited_concurrency(count: int) -> None:
    env = SearchHarness(*names(count))
    search = await env.finder.search(NOWHERE, [env.project])

    assert search.found is None
    assert search.unavailable == []
    assert sorted(env.atlas.calls) == ["", *names(count)]
    assert env.atlas.most <= MAX_CONCURRENT_CALLS


async def test_search_stops_at_the_first_hit() -> None:
    env = SearchHarness(*names(400))
    env.atlas.jobs["cluster-000"] = [a_job()]
    search = await env.finder.search(JOB_ID, [env.project])

    assert search.found
    assert search.found.cluster == "cluster-000"
    assert len(env.atlas.calls) <= 1 + 2 * MAX_CONCURRENT_CALLS


async def test_hit_does_not_wait_for_slow_clusters() -> None:
    env = SearchHarness("slow", "quick")
    env.atlas.jobs["quick"] = [a_job()]
    env.atlas.gates["slow"] = asyncio.Event()
    search = await asyncio.wait_for(env.finder.search(JOB_ID, [env.project]), 1.0)

    assert search.found
    assert search.found.cluster == "quick"


async def test_refused_key_of_one_project_leaves_the_others_visible() -> None:
    env = SearchHarness("prod-eu")
    env.atlas.faults[""] = KeyRefused()
    search = await env.finder.search(JOB_ID, [env.project, env.second])
    listing = await env.finder.listing([env.project, env.second])

    assert search.found
    assert search.found.project is env.second
    assert [found.place.cluster for found in listing.jobs] == ["else"]
    assert [(each.project, each.cluster) for each in listing.unavailable] == [("shop-prod", None)]
    assert "did not accept the bot's key" in listing.unavailable[0].reason


async def test_cluster_not_read_in_time_is_reported() -> None:
    env = SearchHarness("prod-eu", "prod-us", timeout=0.05)
    env.atlas.gates["prod-us"] = asyncio.Event()
    listing = await env.finder.listing([env.project])
    search = await env.finder.search(NOWHERE, [env.project])
    await env.finder.close()
    late = [(each.cluster, each.reason) for each in listing.unavailable]
    assert late == [("prod-us", str(TimedOut()))]
    assert [each.cluster for each in search.unavailable] == ["prod-us"]


async def test_flex_cluster_is_reported_and_unknown_cluster_is_empty() -> None:
    env = SearchHarness("prod-eu")
    env.atlas.faults["sketch"] = WrongClusterKind()
    flex = await env.finder.listing([env.project], cluster="sketch")
    search = await env.finder.search(JOB_ID, [env.project], cluster="sketch")
    unknown = await env.finder.listing([env.project], cluster="nosuch")

    for found in (flex, search):
        assert [(each.cluster, each.reason) for each in found.unavailable] == [
            ("sketch", str(WrongClusterKind()))
        ]
    assert (unknown.jobs, unknown.unavailable) == ([], [])


async def test_listing_has_cancellable_jobs_newest_first() -> None:
    env = SearchHarness("prod-eu")
    old = a_job(id="1" * 24, timestamp="2026-11-24T09:00:00Z")
    over = a_job(id="2" * 24, cancelled=True)
    other = a_job(id="3" * 24, deliveryType="automated")
    env.atlas.jobs["prod-eu"] = [old, over, other, a_job()]
    listing = await env.finder.listing([env.project])

    assert [found.job.id for found in listing.jobs] == [JOB_ID, "1" * 24]


async def test_search_leaves_the_reserve_of_the_rate_limit() -> None:
    env = SearchHarness(*names(400))
    left = round(BUCKET_SIZE * RESERVE) + MARGIN + 10
    env.budget.update(left, BUCKET_SIZE)
    env.atlas.left = lambda made: env.budget.update(left - made, BUCKET_SIZE)
    search = await env.finder.search(NOWHERE, [env.project])
    asked = [cluster for cluster in env.atlas.calls if cluster]

    assert 0 < len(asked) <= 10
    assert [each.reason for each in search.unavailable] == [str(RateLimitReserved())]


def test_budget_follows_the_headers_of_atlas() -> None:
    clock = FakeClock()
    budget = RateLimitBudget(clock.monotonic)
    budget.update(250, 1200)
    with pytest.raises(RateLimitReserved), budget.call():
        pass
    clock.advance(PROBE_INTERVAL)
    with budget.call():
        budget.update(900, 1200)
    with budget.call():
        pass


def test_budget_without_headers_follows_the_documented_limit() -> None:
    clock = FakeClock()
    budget = RateLimitBudget(clock.monotonic)
    made = 0
    while made < BUCKET_SIZE:
        try:
            with budget.call():
                budget.update(None)
        except RateLimitReserved:
            break
        made += 1
    clock.advance(60)
    with budget.call():
        pass

    assert made == BUCKET_SIZE - round(BUCKET_SIZE * RESERVE) - MARGIN


async def test_clusters_that_are_not_read_in_time_are_read_on_for_the_next_call() -> None:
    env = SearchHarness("prod-eu")
    env.atlas.gates[""] = asyncio.Event()
    with pytest.raises(TimedOut):
        await env.finder.clusters(env.project, timeout=0.01)
    env.atlas.gates[""].set()

    assert await env.finder.clusters(env.project, timeout=1) == ["prod-eu"]


async def test_unreadable_job_hides_nothing_and_is_counted() -> None:
    env = SearchHarness("prod-eu")
    env.atlas.jobs["prod-eu"] = [a_job()]
    env.atlas.unread = [NOWHERE]
    listing = await env.finder.listing([env.project])

    assert [found.job.id for found in listing.jobs] == [JOB_ID]
    assert [each.reason for each in listing.unavailable] == ["1 job could not be read."]
    assert listing.unavailable[0].in_part


async def test_repeated_listings_cost_less_than_the_refill() -> None:
    env = SearchHarness(*names(60))
    for _ in range(10):
        await env.finder.listing([env.project])
        env.clock.advance(1.0)

    assert len(env.atlas.calls) <= 1 + 60 + 60  # 8 a second flow back: once in 7.2 seconds
