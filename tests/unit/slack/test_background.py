"""Work after an ack: held, awaited, and never lost without a word."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from bot.cancellation.errors import MaybeRecorded
from bot.slack.deadline import run_until_deadline
from bot.tasks import BackgroundTasks


async def broken() -> None:
    raise RuntimeError("no")


async def test_the_person_is_told_the_reference_of_an_error() -> None:
    told: list[str] = []

    async def tell(reference: str) -> None:
        told.append(reference)

    background = BackgroundTasks()
    await background.start(broken(), "broken", tell)

    assert len(told) == 1
    assert len(told[0]) == 8
    assert background.idle


async def test_when_even_that_fails_nothing_is_raised() -> None:
    async def tell(_reference: str) -> None:
        raise RuntimeError("no way to the person")

    await BackgroundTasks().start(broken(), "broken", tell)


async def test_draining_waits_and_then_cancels() -> None:
    background = BackgroundTasks()
    done: list[str] = []

    async def quick() -> None:
        await asyncio.sleep(0.01)
        done.append("quick")

    background.start(quick(), "quick")
    slow = background.start(asyncio.Event().wait(), "slow")
    await background.drain(0.05)

    assert done == ["quick"]
    assert slow.cancelled()
    assert background.idle


async def test_whoever_waits_for_what_is_cancelled_is_told() -> None:
    told: list[str] = []

    async def tell(reference: str) -> None:
        await asyncio.sleep(0.01)
        told.append(reference)

    background = BackgroundTasks()
    slow = background.start(asyncio.Event().wait(), "slow", tell)
    await background.drain(0.1)

    assert slow.cancelled()
    assert len(told) == 1


async def test_draining_ends_in_time_though_nobody_can_be_told() -> None:
    async def tell(_reference: str) -> None:
        await asyncio.Event().wait()

    background = BackgroundTasks()
    background.start(asyncio.Event().wait(), "slow", tell)
    async with asyncio.timeout(1.0):
        await background.drain(0.1)

    assert background.idle


async def test_what_its_own_starter_ends_is_not_said_to_be_lost() -> None:
    background = BackgroundTasks()
    with structlog.testing.capture_logs() as log:
        loop = background.start(asyncio.Event().wait(), "watchdog")
        await asyncio.sleep(0)
        loop.cancel()
        await background.drain(1.0)

    assert loop.cancelled()
    assert log == []


async def test_draining_nothing_is_quick() -> None:
    await BackgroundTasks().drain(0.0)


async def test_what_is_late_goes_on_and_is_said_to_be_uncertain() -> None:
    background, gate = BackgroundTasks(), asyncio.Event()
    ended: list[str] = []

    async def commit() -> None:
        await gate.wait()
        ended.append("committed")

    with pytest.raises(MaybeRecorded):
        await run_until_deadline(commit(), background, 0.01)
    gate.set()
    await background.drain(1.0)

    assert ended == ["committed"]


async def test_a_late_error_is_seen_to_its_end() -> None:
    background, gate = BackgroundTasks(), asyncio.Event()

    async def commit() -> None:
        await gate.wait()
        raise MaybeRecorded

    with pytest.raises(MaybeRecorded):
        await run_until_deadline(commit(), background, 0.01)
    gate.set()
    await background.drain(1.0)

    assert background.idle


async def test_in_time_gives_what_the_work_gives() -> None:
    async def work() -> str:
        return "done"

    assert await run_until_deadline(work(), BackgroundTasks()) == "done"
