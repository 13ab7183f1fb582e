"""Two processes on one database: who is active, how fast another takes over, who writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from bot.cancellation.errors import NotActive, NotRecorded
from bot.services.active import Role, RoleKeeper, hold_in_turns
from bot.storage import lease as lease_module
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore
from bot.storage.lease import Lease
from bot.storage.migrate import create_tables
from bot.tasks import cancel_and_wait
from tests.support.clock import SimulatedLoop, SimulatedTime, simulated
from tests.support.core import core_environment
from tests.support.domain import PROJECT, START
from tests.support.polling import wait_until

T = TypeVar("T")
STEP = 0.5  #: seconds of simulated time between two looks


class Watched(Database):
    """A database that counts its open transactions, and may be cut off."""

    open = 0
    is_cut_off = False

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.is_cut_off:
            raise NotRecorded
        self.open += 1
        try:
            return await super().write(work)
        finally:
            self.open -= 1

    async def read(self, work: Callable[[Connection], T]) -> T:
        self.open += 1
        try:
            return await super().read(work)
        finally:
            self.open -= 1


@dataclass
class Process:
    """A process of the bot, whose active part only says that it runs.

    `lease` and `store` are those of its newest take-over, or of the next one while it stands by.
    """

    database: Watched
    time: SimulatedTime
    name: str
    roles: list[Role] = field(default_factory=list)
    is_running: bool = False  #: whether its active parts run
    starts: int = 0
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._new_lease()
        self.keeper = RoleKeeper(
            self._new_lease, self._run_active, on_role=self.roles.append, sleep=self._sleep
        )
        self.is_stopped = False

    def _new_lease(self) -> Lease:
        self.lease = Lease(self.database, self.name)
        self.store = DownloadStore(self.database, self.time, self.lease)
        return self.lease

    async def _sleep(self, seconds: float) -> None:
        await self.time.sleep(seconds)
        while self.is_stopped:
            await self.time.sleep(STEP)

    async def _run_active(self, _lease: Lease) -> None:
        self.is_running, self.starts = True, self.starts + 1
        try:
            await asyncio.Event().wait()
        finally:
            self.is_running = False

    def start(self) -> None:
        self.task = asyncio.create_task(self.keeper.run())

    async def end(self) -> None:
        """End the process as SIGTERM does."""
        if self.task:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def writes(self, store: DownloadStore | None = None) -> bool:
        """Whether a write is taken, by default of what was built last."""
        try:
            await (store or self.store).start_watch(PROJECT, START)
        except (NotActive, NotRecorded):
            return False
        return True


class Replicas:
    """Two processes that share a database file and the time."""

    def __init__(self, time: SimulatedTime, databases: list[Watched]) -> None:
        self.time, self._databases = time, databases
        self.tasks: list[asyncio.Task[None]] = []
        self.first, self.second = (
            Process(database, time, f"process {number}")
            for number, database in enumerate(databases, 1)
        )

    async def settle(self) -> None:
        """Wait until both processes wait for nothing but the time."""
        for _ in range(3):
            await wait_until(lambda: not any(database.open for database in self._databases))
            for _ in range(10):
                await asyncio.sleep(0)

    async def passes(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.time.advance(STEP)
            await self.settle()
            assert not (self.first.lease.is_held and self.second.lease.is_held)

    async def until(self, holds: Callable[[], bool], limit: float = 60.0) -> float:
        """Let time pass until this holds, and return the seconds."""
        began = self.time.elapsed
        while not holds():
            assert self.time.elapsed - began < limit
            await self.passes(STEP)
        return self.time.elapsed - began


@pytest.fixture
async def replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replicas]:
    """A pair of which the first process is active and the second one stands by."""
    time = SimulatedTime()
    monkeypatch.setattr(lease_module, "_now", lambda _db: time())
    monkeypatch.setattr(lease_module, "boot_time", time.monotonic)
    databases = [Watched(f"sqlite:///{tmp_path}/bot.db") for _ in range(2)]
    await databases[0].write(create_tables)
    pair = Replicas(time, databases)
    pair.first.start()
    await pair.settle()
    pair.second.start()
    await pair.passes(20)
    yield pair
    await cancel_and_wait(*pair.tasks)
    for process in (pair.first, pair.second):
        await process.end()
        await process.database.close()


async def test_one_process_is_active_and_the_other_one_stands_by(replicas: Replicas) -> None:
    first, second = replicas.first, replicas.second

    assert (first.keeper.role, second.keeper.role) == (Role.ACTIVE, Role.STANDBY)
    assert (first.is_running, second.is_running) == (True, False)
    assert (await first.writes(), await second.writes()) == (True, False)


async def test_standby_takes_over_within_five_seconds_of_a_release(replicas: Replicas) -> None:
    await replicas.first.end()

    seconds = await replicas.until(lambda: replicas.second.is_running)

    assert seconds <= 5
    assert not replicas.first.is_running
    assert (await replicas.first.writes(), await replicas.second.writes()) == (False, True)


async def test_standby_takes_over_within_fifteen_seconds_of_a_stopped_holder_which_then_leaves(
    replicas: Replicas,
) -> None:
    first, second = replicas.first, replicas.second
    first.is_stopped = True

    assert await replicas.until(lambda: second.is_running) <= 11  # the rest is for Slack
    assert not first.lease.is_held
    assert not await first.writes()
    first.is_stopped = False
    await replicas.passes(5)

    assert not first.is_running
    assert first.roles == [Role.ACTIVE, Role.STANDBY]
    assert second.is_running


async def test_part_that_outlived_its_lease_writes_nothing_once_the_process_is_active_again(
    replicas: Replicas,
) -> None:
    first, second = replicas.first, replicas.second
    outlived, lease = first.store, first.lease
    first.is_stopped = True
    await replicas.until(lambda: second.is_running)
    first.is_stopped = False
    await replicas.passes(5)

    await second.end()
    await replicas.until(lambda: first.is_running)

    assert first.starts == 2
    assert await first.writes()
    assert not lease.is_held
    assert not await first.writes(outlived)


async def test_holder_that_is_cut_off_from_the_database_leaves_once_its_lease_has_run_out(
    replicas: Replicas,
) -> None:
    first, second = replicas.first, replicas.second
    first.database.is_cut_off = True

    await replicas.until(lambda: not first.lease.is_held)
    assert await replicas.until(lambda: not first.is_running) <= 2
    assert await replicas.until(lambda: second.is_running) <= 2
    assert first.roles == [Role.ACTIVE, Role.STANDBY]


async def test_after_an_outage_of_the_database_the_first_process_that_reaches_it_is_active(
    replicas: Replicas,
) -> None:
    first, second = replicas.first, replicas.second
    first.database.is_cut_off = second.database.is_cut_off = True
    await replicas.passes(60)
    assert not first.is_running
    assert not await first.writes()

    first.database.is_cut_off = False
    await replicas.passes(5)
    second.database.is_cut_off = False
    await replicas.passes(5)

    assert (first.is_running, first.starts, second.is_running) == (True, 2, False)
    assert await first.writes()


async def test_active_parts_that_fail_are_started_again(replicas: Replicas) -> None:
    first = replicas.first

    async def fail(_lease: Lease) -> None:
        first.starts += 1
        raise ValueError("unexpected")

    await replicas.second.end()
    await first.end()
    failing = Process(first.database, replicas.time, "process 3")
    failing.keeper.run_active = fail
    first.starts = 0
    failing.start()
    await replicas.passes(10)
    await failing.end()

    assert 3 <= first.starts <= 10


def command(replicas: Replicas, name: str, is_sending: Callable[[], bool]) -> Lease:
    """Start a command in place of the processes; return its lease."""
    lease = Lease(replicas.first.database, name)
    time = replicas.time
    holding = hold_in_turns(lease, is_sending, sleep=time.sleep, monotonic=time.monotonic)
    replicas.tasks.append(asyncio.create_task(holding))
    return lease


async def test_commands_leave_the_lease_to_a_bot_that_waits_once_no_delete_is_out(
    replicas: Replicas,
) -> None:
    bot, is_sending = replicas.second, True
    await replicas.first.end()
    await bot.end()
    leases = [command(replicas, name, lambda: is_sending) for name in ("first", "second")]
    await replicas.until(lambda: any(lease.is_held for lease in leases))
    bot.start()
    await replicas.passes(60)
    assert not bot.is_running
    is_sending = False

    assert await replicas.until(lambda: bot.is_running) <= 5

    bot.is_stopped = True
    assert await replicas.until(lambda: any(lease.is_held for lease in leases)) <= 15


async def test_command_holds_the_lease_again_and_again_where_no_bot_waits(
    replicas: Replicas,
) -> None:
    await replicas.first.end()
    await replicas.second.end()
    lease, held = command(replicas, "command", lambda: False), 0

    for _ in range(200):
        await replicas.passes(STEP)
        held += lease.is_held

    assert held > 150


# The end of a process


@pytest.mark.parametrize(("parts", "released"), [(2.0, 2.0), (60.0, 3.0)])
@simulated
async def test_lease_is_released_when_the_active_parts_have_ended_but_after_three_seconds(
    loop: SimulatedLoop, parts: float, released: float
) -> None:
    async def run_active(_lease: Lease) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(parts)

    async with core_environment() as env:
        await env.lease.release()
        keeper = RoleKeeper(lambda: env.lease, run_active)
        assert not keeper.has_asked
        task = asyncio.create_task(keeper.run())
        await asyncio.sleep(1)
        assert (keeper.has_asked, keeper.role, env.lease.is_held) == (True, Role.ACTIVE, True)
        began = loop.time()
        await cancel_and_wait(task)
        assert loop.time() - began == pytest.approx(released)

    assert not env.lease.is_held
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "lease"]
