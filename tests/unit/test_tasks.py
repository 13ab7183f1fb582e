"""Background tasks: kept alive, awaited at shutdown, failures logged and reported."""

import asyncio
from itertools import count

import pytest
import structlog

from bot.cancellation.errors import MaybeRecorded
from bot.tasks import BackgroundTasks, Supervisor, cancel_and_wait, repeat, run_until_deadline


async def broken() -> None:
    raise RuntimeError("no")


async def test_repeated_work_goes_on_after_errors() -> None:
    results: list[float | Exception | None] = [MaybeRecorded(), RuntimeError("no"), 4.0, None]
    pauses: list[float] = []

    async def work() -> float | None:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not results:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await repeat(work, 1.0, "failed", sleep=sleep)

    assert pauses == [1.0, 1.0, 1.0, 1.0]


async def test_failed_task_reports_its_reference_to_the_person() -> None:
    reported: list[str] = []

    async def report(reference: str) -> None:
        reported.append(reference)

    background = BackgroundTasks()
    await background.start(broken(), "broken", report)

    assert len(reported) == 1
    assert len(reported[0]) == 8
    assert not background.tasks


async def test_failing_report_raises_nothing() -> None:
    async def report(_reference: str) -> None:
        raise RuntimeError("the person cannot be reached")

    await BackgroundTasks().start(broken(), "broken", report)


async def test_drain_waits_and_then_cancels() -> None:
    background = BackgroundTasks()
    done: list[str] = []

    async def quick() -> None:
        await asyncio.sleep(0)
        done.append("quick")

    background.start(quick(), "quick")
    slow = background.start(asyncio.Event().wait(), "slow")
    await background.drain(0.05)

    assert done == ["quick"]
    assert slow.cancelled()
    assert not background.tasks


async def test_task_cancelled_by_drain_reports_its_reference() -> None:
    reported: list[str] = []

    async def report(reference: str) -> None:
        await asyncio.sleep(0)
        reported.append(reference)

    background = BackgroundTasks()
    slow = background.start(asyncio.Event().wait(), "slow", report)
    await background.drain(0.1)

    assert slow.cancelled()
    assert len(reported) == 1


async def test_drain_ends_in_time_when_the_report_hangs() -> None:
    async def report(_reference: str) -> None:
        await asyncio.Event().wait()

    background = BackgroundTasks()
    background.start(asyncio.Event().wait(), "slow", report)
    async with asyncio.timeout(20):
        await background.drain(0.1)

    assert not background.tasks


async def test_task_cancelled_by_its_starter_is_not_logged_as_lost() -> None:
    background = BackgroundTasks()
    with structlog.testing.capture_logs() as log:
        loop = background.start(asyncio.Event().wait(), "watchdog")
        await asyncio.sleep(0)
        loop.cancel()
        await background.drain(1.0)

    assert loop.cancelled()
    assert log == []


@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError()])
async def test_loop_that_fails_is_logged_shown_and_started_again(error: BaseException) -> None:
    runs, shown = count(), list[str | None]()

    async def loop() -> None:
        if next(runs) < 2:
            raise error

    async def sleep(_seconds: float) -> None:
        shown.append(await supervisor.check())

    supervisor = Supervisor(5.0, sleep)
    with structlog.testing.capture_logs() as logs:
        await supervisor.run(loop, "sweeper")

    assert [(each["log_level"], each["loop"]) for each in logs] == 2 * [("error", "sweeper")]
    assert shown == 2 * ["Stopped after an error, and soon started again: sweeper."]
    assert (next(runs), await supervisor.check()) == (3, None)


async def test_cancel_and_wait_ends_every_task_and_raises_no_error() -> None:
    hanging = asyncio.create_task(asyncio.Event().wait())
    failed = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await cancel_and_wait(hanging, failed)

    assert hanging.cancelled()
    assert failed.done()


@pytest.mark.parametrize("error", [None, MaybeRecorded()], ids=["success", "error"])
async def test_late_work_is_reported_as_uncertain_and_awaited(error: Exception | None) -> None:
    background, gate = BackgroundTasks(), asyncio.Event()
    ended: list[str] = []

    async def commit() -> None:
        await gate.wait()
        if error:
            raise error
        ended.append("committed")

    with pytest.raises(MaybeRecorded):
        await run_until_deadline(commit(), background, 0.01)
    gate.set()
    await background.drain(20.0)

    assert not background.tasks
    assert ended == ([] if error else ["committed"])
