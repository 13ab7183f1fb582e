"""Replicas whose clocks disagree, and clocks that are set while requests run."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.storage.database import Database, DatabaseClock, wall_clock
from bot.storage.lease_store import LONGEST_LEASE, LeaseStore
from bot.storage.request_store import RequestStore
from bot.timings import Timings
from tests.integration.storage.conftest import Stores
from tests.support.clock import FakeClock
from tests.support.domain import RINA, a_request
from tests.support.timings import DATABASE_TIMEOUT

HOUR = timedelta(hours=1)

#: How far another replica's clock is off.
OFF = [pytest.param(HOUR, id="an hour ahead"), pytest.param(-HOUR, id="an hour behind")]
BACK = [3600, 60, 12]


@dataclass(slots=True)
class Replica:
    """The domain of one replica, with a clock of its own."""

    store: RequestStore
    leases: LeaseStore
    clock: DatabaseClock


async def replica(env: Stores, name: str, off: timedelta = timedelta()) -> Replica:
    clock = DatabaseClock(env.database, wall=lambda: wall_clock() + off)
    await clock.set()
    return Replica(
        RequestStore(env.database, clock),
        LeaseStore(env.database, clock, name, lease=0.6),
        clock,
    )


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("off", OFF)
async def test_wrong_clock_of_a_replica_breaks_no_lease(env: Stores, off: timedelta) -> None:
    right, wrong = await replica(env, "right"), await replica(env, "wrong", off)
    request = await right.store.create(a_request(), RINA)
    assert await right.leases.claim(request.id)

    assert await wrong.leases.list_runnable() == []
    assert await wrong.leases.claim(request.id) is None


@pytest.mark.parametrize("back", BACK)
async def test_lease_from_before_the_clock_was_set_back_expires_in_time(
    env: Stores, back: float
) -> None:
    """Its runner was killed, too; the request must end within 30 seconds."""
    request = await env.store.create(a_request(), RINA)
    assert await env.leases.claim(request.id)
    env.clock.advance(-back)

    env.clock.advance(24)

    assert await env.other.list_runnable() == [request.id]
    assert await env.other.claim(request.id)


@pytest.mark.databases("postgresql")
async def test_server_time_continues_with_the_monotonic_clock(env: Stores) -> None:
    """Jumps of the wall clock between two answers of the server have no effect."""
    wall, seconds = FakeClock(now=datetime(1999, 1, 1, tzinfo=UTC)), [1000.0]
    clock = DatabaseClock(env.database, wall=wall, monotonic=lambda: seconds[0])
    assert clock() == wall.now  # until the server was asked

    await clock.set()
    start = clock()
    wall.advance(-86400)
    seconds[0] += 5

    assert abs(start - wall_clock()) < timedelta(seconds=2)
    assert clock() - start == timedelta(seconds=5)


@pytest.mark.databases("postgresql")
async def test_slow_answer_does_not_correct_the_clock(env: Stores) -> None:
    seconds = iter([0.0, 0.0, 0.0, 0.0, 40.0, 0.0])
    clock = DatabaseClock(env.database, monotonic=lambda: next(seconds))
    await clock.set()
    before = clock()

    await clock.set()  # took 40 seconds by this clock

    assert clock() == before


async def test_sqlite_uses_the_wall_clock(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/bot.db", timeout=DATABASE_TIMEOUT)
    wall = FakeClock()
    clock = DatabaseClock(database, wall=wall)

    await clock.set()

    assert clock() == wall.now
    await database.close()


def test_request_lease_is_shorter_than_the_longest_lease() -> None:
    assert timedelta(seconds=Timings.request_lease) < LONGEST_LEASE
