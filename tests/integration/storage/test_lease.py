"""The lease of the active process: one holder, and writes that prove it."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from bot.cancellation.errors import NotActive
from bot.storage import lease as lease_module
from bot.storage.database import Database, wall_clock
from bot.storage.download_store import DownloadStore
from bot.storage.lease import Lease
from tests.support.clock import SimulatedTime
from tests.support.domain import PROJECT, START

T = TypeVar("T")


def watches(database: Database, held: Lease) -> DownloadStore:
    return DownloadStore(database, wall_clock, held)


async def test_free_lease_is_taken_by_one_process_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_slowly(_db: Connection) -> datetime:
        time.sleep(0.05)  # so that the transactions overlap, where no lock keeps them apart
        return wall_clock()

    monkeypatch.setattr(lease_module, "_now", read_slowly)
    leases = [Lease(database, f"process {number}") for number in range(5)]

    taken = await asyncio.gather(*(item.take() for item in leases))

    assert sorted(taken) == [False] * 4 + [True]


async def test_released_lease_is_free_at_once_and_has_the_next_number(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedTime()
    clock.advance(0.0006)  # what is stored is rounded up
    monkeypatch.setattr(lease_module, "_now", lambda _db: clock())
    first, second = Lease(database, "first"), Lease(database, "second")
    assert await first.take()
    number = first.number
    await first.release()

    assert await second.take()
    assert number is not None
    assert second.number == number + 1


async def test_expired_lease_is_taken_over_and_the_old_holder_writes_nothing(
    database: Database,
) -> None:
    first, second = Lease(database, "first", seconds=0.2), Lease(database, "second")
    assert await first.take()
    await asyncio.sleep(0.3)

    assert not first.is_held
    assert await second.take()
    assert not await first.renew()
    with pytest.raises(NotActive):
        await watches(database, first).start_watch(PROJECT, START)
    await watches(database, second).start_watch(PROJECT, START)


async def test_holder_that_was_late_and_not_replaced_continues(database: Database) -> None:
    held = Lease(database, "first", seconds=0.2)
    assert await held.take()
    await asyncio.sleep(0.3)
    with pytest.raises(NotActive):
        await watches(database, held).start_watch(PROJECT, START)

    assert await held.renew()
    await watches(database, held).start_watch(PROJECT, START)


async def test_lease_that_the_same_holder_took_again_counts_with_its_new_number_alone(
    database: Database,
) -> None:
    old, new = Lease(database, "same", seconds=0.2), Lease(database, "same")
    assert await old.take()
    await asyncio.sleep(0.3)
    assert await new.take()

    with pytest.raises(NotActive):
        await watches(database, old).start_watch(PROJECT, START)
    number = old.number
    assert not await old.renew()
    old.number = number
    await old.release()
    await watches(database, new).start_watch(PROJECT, START)


@pytest.mark.parametrize(("seconds", "is_free"), [(10, False), (10.5, True), (3600, True)])
async def test_lease_is_free_after_the_clock_was_set_back_by_more_than_it_lasts(
    seconds: float, is_free: bool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedTime()
    monkeypatch.setattr(lease_module, "_now", lambda _db: clock())
    assert await Lease(database, "dead", seconds=10.0).take()
    clock.advance(-seconds)

    assert await Lease(database, "next", seconds=10.0).take() is is_free


async def test_write_waits_for_the_transaction_that_holds_the_lease(database: Database) -> None:
    held = Lease(database, "first")
    assert await held.take()
    stores = [watches(database, held) for _ in range(8)]

    starts = [
        store.start_watch(PROJECT, START + timedelta(seconds=number))
        for number, store in enumerate(stores)
    ]
    started = await asyncio.gather(*starts)

    assert len(set(started)) == 1


async def test_lease_is_held_until_its_seconds_after_the_last_renewal_are_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedTime()
    monkeypatch.setattr(lease_module, "boot_time", clock.monotonic)
    held = Lease(database, "first", seconds=10.0)
    assert await held.take()
    clock.advance(5)
    assert await held.renew()

    clock.advance(9.5)
    assert held.is_held
    clock.advance(0.5)
    assert not held.is_held


async def test_lease_is_free_and_its_holder_writes_nothing_from_the_moment_of_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedTime()
    monkeypatch.setattr(lease_module, "_now", lambda _db: clock())
    first, second = Lease(database, "first", seconds=10.0), Lease(database, "second")
    assert await first.take()

    clock.advance(9.5)
    await watches(database, first).start_watch(PROJECT, START)
    assert not await second.take()
    clock.advance(0.5)
    with pytest.raises(NotActive):
        await watches(database, first).start_watch(PROJECT, START)
    assert await second.take()


class LateAnswers(Database):
    """A database whose answer to a write comes after 0.3 seconds."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        result = await super().write(work)
        await asyncio.sleep(0.3)
        return result


@pytest.mark.usefixtures("database")  # which creates the tables
async def test_lease_is_held_from_the_question_on_and_not_from_a_late_answer(
    empty_url: str,
) -> None:
    late = LateAnswers(empty_url)
    held = Lease(late, "first", seconds=0.2)

    assert await held.take()
    assert not held.is_held
    await held.renew()
    assert not held.is_held
    await late.close()
