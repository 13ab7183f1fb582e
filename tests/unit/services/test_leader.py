"""Who leads, and which loops run meanwhile: over a lease in memory, in tenths of seconds."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from bot.cancellation.errors import NotRecorded
from bot.services.leader import Leader
from bot.storage.database import Database, DatabaseClock
from bot.storage.replicas import LeaderLease
from bot.timings import DEFAULT_TIMINGS
from tests.support.clock import FakeClock
from tests.support.polling import wait_until

TIMINGS = replace(DEFAULT_TIMINGS, leader_lease=0.2, leader_interval=0.02)


@dataclass
class FakeClockOfDatabase(DatabaseClock):
    database: Database = field(init=False)

    async def set(self) -> None:
        pass


@dataclass
class FakeLease(LeaderLease):
    """A lease that is free or not, or whose database fails or hangs."""

    database: Database = field(init=False)
    now: FakeClock = field(default_factory=FakeClock)
    owner: str = "me"
    seconds: float = 0.2
    is_free: bool = True
    fails: bool = False
    hangs: bool = False
    released: int = 0
    asked: int = 0

    async def acquire(self) -> bool:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise NotRecorded
        return self.is_free

    async def release(self) -> None:
        if self.fails:
            raise NotRecorded
        self.released += 1


class LedLoop:
    """A loop that says whether it runs; it ends at an error, or when it is told."""

    def __init__(self) -> None:
        self.runs = 0
        self.starts = 0
        self.error: Exception | None = None
        self.done = asyncio.Event()

    async def __call__(self) -> None:
        self.runs += 1
        self.starts += 1
        try:
            if self.error:
                raise self.error
            await self.done.wait()
        finally:
            self.runs -= 1


@pytest.fixture
async def lease() -> FakeLease:
    return FakeLease()


def a_leader(lease: FakeLease) -> Leader:
    return Leader(lease, FakeClockOfDatabase(), timings=TIMINGS)


async def test_loop_runs_only_while_the_process_leads(lease: FakeLease) -> None:
    leader, loop = a_leader(lease), LedLoop()
    lease.is_free = False
    tasks = [asyncio.create_task(each) for each in (leader.run(), leader.loop(loop)())]
    await wait_until(lambda: lease.asked > 2)
    assert (loop.starts, leader.leads) == (0, False)

    lease.is_free = True
    await wait_until(lambda: loop.runs)
    assert leader.leads
    lease.is_free = False
    await wait_until(lambda: not loop.runs)
    assert not leader.leads
    lease.is_free = True
    await wait_until(lambda: loop.runs)

    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (loop.runs, loop.starts) == (0, 2)


async def test_process_that_stops_goes_on_to_lead_and_does_not_begin_to(lease: FakeLease) -> None:
    leader, other = a_leader(lease), a_leader(lease)
    await leader.elect()
    leader.ends = other.ends = True
    await asyncio.gather(leader.elect(), other.elect())

    assert (leader.leads, other.leads, lease.asked) == (True, False, 2)


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_loop_ends_with_the_lease_while_the_database_does_not_answer(
    lease: FakeLease, fault: str
) -> None:
    leader, loop = a_leader(lease), LedLoop()
    tasks = [asyncio.create_task(each) for each in (leader.run(), leader.loop(loop)())]
    await wait_until(lambda: loop.runs)
    setattr(lease, fault, True)

    # Timers run in their order, also on a machine so busy that both are late.
    await asyncio.sleep(TIMINGS.leader_lease + 0.1)

    assert not loop.runs
    assert not leader.leads
    for each in tasks:
        each.cancel()


async def test_loop_that_ends_or_fails_is_not_repeated(lease: FakeLease) -> None:
    leader, ended, failed = a_leader(lease), LedLoop(), LedLoop()
    ended.done.set()
    failed.error = TimeoutError("of the loop, not of the lease")
    await leader.elect()

    await leader.loop(ended)()
    with pytest.raises(TimeoutError, match="of the loop"):
        await leader.loop(failed)()

    assert (ended.starts, failed.starts) == (1, 1)


async def test_stop_releases_the_lease_only_of_a_leader(lease: FakeLease) -> None:
    leader = a_leader(lease)
    await leader.stop()
    assert lease.released == 0

    await leader.elect()
    await leader.stop()

    assert lease.released == 1
    assert not leader.leads
