"""The limiter: the pace of all watches, each project's share, and who goes first."""

import asyncio
import math

import pytest

from bot.atlas import AtlasError, Priority
from bot.atlas.errors import RateLimited, TimedOut
from bot.atlas.limiter import MAX_IN_FLIGHT, CallLimiter, Demand, PathSet, TokenBucket, set_of
from tests.support.clock import most_in
from tests.unit.atlas.simulation import Simulation

BACKUPS, EVENTS = PathSet.BACKUPS, PathSet.EVENTS
SIDE_BY_SIDE = 50


class Caller(Simulation):
    """Makes calls that take `duration` seconds, and notes when they began."""

    def __init__(self, duration: float = 0.0) -> None:
        super().__init__()
        self.duration = duration
        self.began: list[float] = []
        self.order: list[str] = []

    async def call(
        self,
        priority: Priority,
        *,
        project: str = "p",
        paths: PathSet = BACKUPS,
        deadline: float = math.inf,
        fault: AtlasError | None = None,
        name: str = "",
    ) -> None:
        async with self.limiter.turn(Demand(project, priority), paths, deadline):
            self.began.append(self.time.elapsed)
            self.order.append(name or priority.name)
            if self.duration:
                await self.time.sleep(self.duration)
            if fault:
                raise fault

    async def calls(self, count: int, priority: Priority, *, projects: int = 1) -> None:
        works = (self.call(priority, project=str(n % projects)) for n in range(count))
        await self.result(asyncio.gather(*works))


@pytest.mark.parametrize("priority", [Priority.WATCH, Priority.ROUND])
async def test_watches_of_all_projects_make_at_most_ten_calls_a_second(priority: Priority) -> None:
    caller = Caller(duration=0.2)
    await caller.calls(200, priority, projects=40)

    assert most_in(1.0, caller.began) <= 10
    assert caller.time.elapsed < 200 / 9


@pytest.mark.parametrize(
    ("paths", "priority", "limit"),
    [
        (BACKUPS, Priority.WATCH, 125),
        (BACKUPS, Priority.ROUND, 125),
        (BACKUPS, Priority.FIRST_LOOK, 125),
        (EVENTS, Priority.WATCH, 25),
        (BACKUPS, Priority.PERSON, 250),
        (EVENTS, Priority.PERSON, 50),
    ],
)
async def test_calls_take_their_share_of_a_projects_limit(
    paths: PathSet, priority: Priority, limit: int
) -> None:
    caller = Caller()
    works = (caller.call(priority, paths=paths) for _ in range(2 * limit))
    await caller.result(asyncio.gather(*works))

    assert most_in(60.0, caller.began) <= limit
    assert caller.time.elapsed < 60.0 * 3


@pytest.mark.parametrize("limit", [25, 50, 125, 250, 2500])
def test_bucket_of_any_limit_allows_no_more_in_a_minute(limit: int) -> None:
    bucket, now, moments = TokenBucket.of(limit), 0.0, []
    for _ in range(2 * limit):
        now = max(now, bucket.ready_at())
        bucket.take(now)
        moments.append(now)

    assert sum(moment < 60.0 for moment in moments) <= limit


@pytest.mark.parametrize("priority", [Priority.CANCEL, Priority.PERSON])
async def test_call_for_a_person_or_a_run_does_not_wait_behind_the_watch(
    priority: Priority,
) -> None:
    caller = Caller(duration=30.0)
    works = [caller.call(Priority.WATCH, project=str(n)) for n in range(SIDE_BY_SIDE)]
    watch = asyncio.gather(*works)
    await caller.advance(5.0)
    call = asyncio.ensure_future(caller.call(priority))
    await caller.settle()

    assert (caller.order[-1], caller.began[-1]) == (priority.name, 5.0)
    await caller.result(asyncio.gather(watch, call))


@pytest.mark.parametrize("priority", [Priority.CANCEL, Priority.PERSON])
async def test_runs_and_persons_go_while_a_pause_holds_the_watch(priority: Priority) -> None:
    caller = Caller(duration=5.0)
    limited = RateLimited(retry_after=60.0)
    with pytest.raises(RateLimited):
        await caller.result(caller.call(Priority.CANCEL, fault=limited))
    watches = [asyncio.ensure_future(caller.call(Priority.WATCH)) for _ in range(SIDE_BY_SIDE)]
    began = caller.time.elapsed
    await caller.result(caller.call(priority))

    assert caller.time.elapsed - began == pytest.approx(caller.duration)
    assert caller.order == ["CANCEL", priority.name]
    for watch in watches:
        watch.cancel()


async def test_cancel_goes_while_persons_hold_every_place() -> None:
    caller = Caller(duration=5.0)
    persons = [asyncio.ensure_future(caller.call(Priority.PERSON)) for _ in range(SIDE_BY_SIDE)]
    await caller.settle()
    cancel = asyncio.ensure_future(caller.call(Priority.CANCEL))
    await caller.settle()

    assert (caller.order[-1], caller.began[-1]) == ("CANCEL", 0.0)
    await caller.result(asyncio.gather(*persons, cancel))


async def test_lower_priorities_go_first_and_then_who_waits_longer() -> None:
    caller = Caller()
    await caller.call(Priority.WATCH, name="first")
    names = ["round 1", "watch 1", "round 2", "watch 2", "look 1"]
    of = {"round": Priority.ROUND, "watch": Priority.WATCH, "look": Priority.FIRST_LOOK}
    works = (caller.call(of[name.split()[0]], project=name, name=name) for name in names)
    await caller.result(asyncio.gather(*works))

    assert caller.order == ["first", "look 1", "watch 1", "watch 2", "round 1", "round 2"]


async def test_rounds_leave_a_burst_for_a_request_in_the_feed() -> None:
    caller = Caller()
    await caller.calls(60, Priority.ROUND)
    began = caller.time.elapsed
    await caller.result(
        asyncio.gather(*(caller.call(Priority.WATCH, project="0") for _ in range(20)))
    )

    assert caller.time.elapsed - began < 20 / 9


@pytest.mark.parametrize(("retry_after", "pause"), [(40.0, 40.0), (None, 10.0), (1e6, 60.0)])
@pytest.mark.parametrize("priority", [Priority.ROUND, Priority.WATCH])
async def test_429_pauses_these_paths_of_the_project_alone(
    priority: Priority, retry_after: float | None, pause: float
) -> None:
    caller = Caller()
    limited = RateLimited(retry_after=retry_after)
    with pytest.raises(RateLimited):
        await caller.result(caller.call(Priority.WATCH, fault=limited))
    others = (caller.call(priority, paths=EVENTS), caller.call(priority, project="another"))
    await caller.result(asyncio.gather(*others))
    assert caller.time.elapsed < 1.0
    await caller.result(caller.call(priority))

    assert caller.time.elapsed == pytest.approx(pause)


async def test_call_that_cannot_go_before_its_deadline_fails_at_once_with_the_wait() -> None:
    caller = Caller()
    with pytest.raises(RateLimited):
        await caller.call(Priority.WATCH, fault=RateLimited(retry_after=40.0))
    with pytest.raises(RateLimited) as caught:
        await caller.result(caller.call(Priority.WATCH, deadline=8.0))

    assert caught.value.retry_after == pytest.approx(40.0, abs=0.2)
    assert caller.time.elapsed < 1.0


async def test_person_without_a_free_place_is_told_at_the_deadline() -> None:
    caller = Caller(duration=30.0)
    works = [caller.call(Priority.PERSON) for _ in range(MAX_IN_FLIGHT)]
    busy = asyncio.gather(*works)
    with pytest.raises(TimedOut):
        await caller.result(caller.call(Priority.PERSON, deadline=8.0))

    assert caller.time.elapsed == pytest.approx(8.0)
    await caller.result(busy)


async def test_calls_in_flight_are_limited_and_their_ends_admit_others() -> None:
    caller = Caller(duration=1.0)
    await caller.calls(3 * MAX_IN_FLIGHT, Priority.PERSON, projects=3)

    assert most_in(1.0, caller.began) == MAX_IN_FLIGHT
    assert caller.time.elapsed == pytest.approx(3.0)


async def test_cancelled_callers_free_their_places() -> None:
    caller = Caller(duration=5.0)
    tasks = [asyncio.ensure_future(caller.call(Priority.PERSON)) for _ in range(SIDE_BY_SIDE)]
    await asyncio.sleep(0)  # each has its turn or waits; none has begun its call
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await caller.calls(MAX_IN_FLIGHT, Priority.PERSON)

    assert caller.time.elapsed == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("/groups/x/clusters/prod/backup/restoreJobs", BACKUPS),
        ("/groups/x/clusters/prod/backup/restoreJobs/y", BACKUPS),
        ("/groups/x/events", EVENTS),
        ("/groups/x/clusters", PathSet.OTHERS),
        ("/groups/x", PathSet.OTHERS),
    ],
)
def test_paths_belong_to_the_set_with_which_they_share_a_limit(path: str, paths: PathSet) -> None:
    assert set_of(path) is paths


async def test_caller_that_is_cancelled_as_its_turn_comes_gives_it_back() -> None:
    limiter = CallLimiter()
    demand = Demand("p", Priority.PERSON)

    async def call() -> None:
        async with limiter.turn(demand, BACKUPS, math.inf):
            pass

    holders = [limiter.turn(demand, BACKUPS, math.inf) for _ in range(MAX_IN_FLIGHT)]
    for holder in holders:
        await holder.__aenter__()
    waiting = asyncio.create_task(call())
    await asyncio.sleep(0)
    await holders.pop().__aexit__(None, None, None)  # the turn comes, and the task has not run
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    async with asyncio.timeout(5):
        await call()
    for holder in holders:
        await holder.__aexit__(None, None, None)
