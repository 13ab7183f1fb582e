"""Runs as tasks: claimed once, limited, renewed, stopped, and logged."""

import asyncio
from dataclasses import dataclass, field

import pytest
import structlog

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.errors import NotRecorded
from bot.cancellation.lifecycle import Request, State
from bot.services.runner import MAX_CONCURRENT_RUNS
from bot.timings import Timings
from tests.support.domain import a_request
from tests.support.polling import wait_until
from tests.unit.services.runner_environment import (
    CANCELLED,
    EXPIRED,
    THERE,
    FakeLeaseStore,
    HangingAtlas,
    ScriptedAtlas,
    a_runner,
    run,
)


async def test_request_of_another_runner_is_not_run() -> None:
    atlas = ScriptedAtlas(reads=[THERE])
    store = FakeLeaseStore(a_request(), held_by_another=True)
    with pytest.raises(AssertionError):
        await run(atlas, store)

    assert atlas.calls == []


async def test_request_of_an_unknown_project_fails_with_a_sentence() -> None:
    store = FakeLeaseStore()
    runner = a_runner(store)
    await runner.run(store.request.id)

    assert store.settled
    assert store.settled[0] is State.FAILED
    assert "no key for this project" in store.settled[1].sentence


async def test_stop_releases_the_lease_of_an_unfinished_run() -> None:
    atlas, store = HangingAtlas([THERE]), FakeLeaseStore()
    runner = a_runner(store, atlas)
    runner.start(store.request.id)
    await atlas.started.wait()

    await runner.stop(0.01)

    assert store.released == store.request.id
    assert store.settled is None


@dataclass
class SlowStore(FakeLeaseStore):
    """A store whose claims wait for `may_claim`."""

    claimed: list[str] = field(default_factory=list)
    may_claim: asyncio.Event = field(default_factory=asyncio.Event)

    async def claim(self, request_id: str) -> Request | None:
        self.claimed.append(request_id)
        await self.may_claim.wait()
        return await super().claim(request_id)


async def test_concurrent_runs_are_limited_and_the_others_stay_unclaimed() -> None:
    store = SlowStore(held_by_another=True)
    runner = a_runner(store)
    ids = [str(number) for number in range(3 * MAX_CONCURRENT_RUNS)]
    for request_id in ids:
        runner.start(request_id)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.claimed == ids[:MAX_CONCURRENT_RUNS]

    store.may_claim.set()
    await runner.stop(5)

    assert store.claimed == ids


async def test_job_is_read_only_after_the_claim() -> None:
    """A GET from before the claim may be older than another runner's DELETE."""
    atlas, store = ScriptedAtlas(reads=[THERE, CANCELLED]), SlowStore()
    runner = a_runner(store, atlas, monotonic=atlas.clock.monotonic)
    runner.start(store.request.id)
    await wait_until(lambda: store.claimed)
    assert atlas.calls == []

    store.may_claim.set()
    await runner.stop(5)
    assert atlas.calls == ["GET", "DELETE", "GET"]


async def test_lease_is_renewed_at_the_interval_until_it_is_lost() -> None:
    renewals: list[str] = []
    waits: list[float] = []
    lost = asyncio.Event()

    class ExpiringStore(FakeLeaseStore):
        async def renew(self, request_id: str, seconds: float | None = None) -> bool:
            renewals.append(request_id)
            if len(renewals) == 2:
                raise NotRecorded
            if len(renewals) == 3:
                lost.set()
            return len(renewals) < 3

    class WaitingAtlas(ScriptedAtlas):
        async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
            await lost.wait()
            await asyncio.sleep(0)
            return await super().restore_job(ref, timeout=timeout)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    store = ExpiringStore()
    atlas = WaitingAtlas(reads=[EXPIRED])
    runner = a_runner(store, atlas, timings=Timings(lease_renewal_interval=7.0), sleep=sleep)
    with structlog.testing.capture_logs() as log:
        await runner.run(store.request.id)

    assert renewals == [store.request.id] * 3
    assert waits == [7.0] * 3
    assert log == [
        {"event": "lease not renewed", "why": str(NotRecorded()), "log_level": "warning"}
    ]


async def test_request_runs_once_at_a_time_and_again_after_its_end() -> None:
    names: list[str] = []

    class CountingStore(FakeLeaseStore):
        async def claim(self, request_id: str) -> Request | None:
            task = asyncio.current_task()
            names.append(task.get_name() if task else "")
            return None

    runner = a_runner(CountingStore(), ScriptedAtlas([THERE]))
    runner.start("one")
    runner.start("one")
    await runner.stop(5)
    assert names == ["run one"]

    runner.start("one")
    await runner.stop(5)
    assert names == ["run one"] * 2


async def test_stop_does_not_wait_for_a_database_that_hangs() -> None:
    class HangingStore(FakeLeaseStore):
        async def renew(self, request_id: str, seconds: float | None = None) -> bool:
            await asyncio.Event().wait()
            return True

    atlas, timings = HangingAtlas([THERE]), Timings(lease_release_timeout=0.01)
    runner = a_runner(HangingStore(), atlas, timings=timings)
    runner.start("one")
    await atlas.started.wait()

    async with asyncio.timeout(20):
        await runner.stop(0.01)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotRecorded(), ("run interrupted", "warning", str(NotRecorded()))),
        (RuntimeError("bug"), ("run interrupted", "error", None)),
    ],
)
async def test_error_of_a_run_is_logged(
    error: Exception, expected: tuple[str, str, str | None]
) -> None:
    runner = a_runner(FakeLeaseStore(faults={"claim": error}), ScriptedAtlas([THERE]))
    with structlog.testing.capture_logs() as log:
        runner.start("one")
        await runner.stop(5)

    assert [(each["event"], each["log_level"], each.get("why")) for each in log] == [expected]
