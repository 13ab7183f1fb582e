"""Supervised tasks: loops that go on after errors, tasks that report, and an end in time."""

import asyncio
from itertools import count

import pytest
import structlog

from bot.cancellation.errors import MaybeRecorded
from bot.tasks import BackgroundTasks, Supervisor, cancel_and_wait, repeat, wait_up_to


async def broken() -> None:
    raise RuntimeError("no")


async def forever() -> None:
    await asyncio.Event().wait()


async def test_repeated_work_goes_on_after_errors_with_the_same_pause() -> None:
    errors: list[Exception | None] = [MaybeRecorded(), RuntimeError("no"), None]
    pauses: list[float] = []

    async def work() -> None:
        if error := errors.pop(0):
            raise error

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not errors:
            raise KeyboardInterrupt

    with structlog.testing.capture_logs() as logs, pytest.raises(KeyboardInterrupt):
        await repeat(work, 1.0, "not done", sleep=sleep)

    assert pauses == [1.0, 1.0, 1.0]
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("not done", "warning"),  # of a request: a sentence is enough
        ("not done", "error"),
    ]


@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError()])
async def test_loop_that_dies_is_logged_shown_and_started_again(error: BaseException) -> None:
    runs, shown = count(), list[str | None]()

    async def loop() -> None:
        if next(runs) < 2:
            raise error

    async def sleep(_seconds: float) -> None:
        shown.append(supervisor.check())

    supervisor = Supervisor(5.0, sleep)
    with structlog.testing.capture_logs() as logs:
        await supervisor.run(loop, "deadlines")

    assert [(line["log_level"], line["loop"]) for line in logs] == 2 * [("error", "deadlines")]
    assert shown == 2 * ["Stopped after an error, and soon started again: deadlines."]
    assert (next(runs), supervisor.check()) == (3, None)


async def test_cancelled_loop_is_not_started_again() -> None:
    supervisor = Supervisor(0.0)
    task = asyncio.create_task(supervisor.run(forever, "deadlines"))
    await asyncio.sleep(0)
    with structlog.testing.capture_logs() as logs:
        await cancel_and_wait(task)

    assert task.cancelled()
    assert logs == []


async def test_error_of_one_task_stops_no_other() -> None:
    background = BackgroundTasks()
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("work")

    with structlog.testing.capture_logs() as logs:
        failing, working = background.start(broken(), "a"), background.start(work(), "b")
        await asyncio.gather(failing, working)

    assert done == ["work"]
    assert [line["task"] for line in logs] == ["a"]


async def test_failed_task_reports_the_reference_of_its_log_line() -> None:
    reported: list[str] = []

    async def report(reference: str) -> None:
        reported.append(reference)

    background = BackgroundTasks()
    with structlog.testing.capture_logs() as logs:
        await background.start(broken(), "broken", report)

    assert [line["reference"] for line in logs] == reported
    assert not background.tasks


async def test_failing_report_raises_nothing() -> None:
    async def report(_reference: str) -> None:
        raise RuntimeError("the person cannot be reached")

    await BackgroundTasks().start(broken(), "broken", report)


async def test_drain_waits_and_then_cancels_with_a_report() -> None:
    background = BackgroundTasks()
    done: list[str] = []

    async def quick() -> None:
        await asyncio.sleep(0)
        done.append("quick")

    async def report(_reference: str) -> None:
        await asyncio.sleep(0)
        done.append("report")

    background.start(quick(), "quick")
    slow = background.start(forever(), "slow", report)
    await background.drain(0.1)

    assert done == ["quick", "report"]
    assert slow.cancelled()
    assert not background.tasks


async def test_drain_ends_in_time_when_the_report_hangs() -> None:
    async def report(_reference: str) -> None:
        await forever()

    background = BackgroundTasks()
    background.start(forever(), "slow", report)
    async with asyncio.timeout(20):
        await background.drain(0.1)

    assert not background.tasks


async def test_task_cancelled_by_its_starter_is_not_logged_as_lost() -> None:
    background = BackgroundTasks()
    with structlog.testing.capture_logs() as logs:
        task = background.start(forever(), "watchdog")
        await asyncio.sleep(0)
        task.cancel()
        await background.drain(1.0)

    assert task.cancelled()
    assert logs == []


async def test_cancel_and_wait_ends_every_task_and_raises_no_error() -> None:
    hanging, failed = asyncio.create_task(forever()), asyncio.create_task(broken())
    await asyncio.sleep(0)
    await cancel_and_wait(hanging, failed)

    assert hanging.cancelled()
    assert failed.done()


async def test_wait_ends_at_the_event_or_in_time() -> None:
    event = asyncio.Event()
    async with asyncio.timeout(20):
        await wait_up_to(0.01, event)
        event.set()
        await wait_up_to(3600, event)
