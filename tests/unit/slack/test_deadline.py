"""The deadline of an ack: late work continues in the background and is reported as uncertain."""

from __future__ import annotations

import asyncio

import pytest

from bot.cancellation.errors import MaybeRecorded
from bot.slack.deadline import run_until_deadline
from bot.tasks import BackgroundTasks


async def test_late_work_continues_and_is_reported_as_uncertain() -> None:
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


async def test_error_of_late_work_is_awaited() -> None:
    background, gate = BackgroundTasks(), asyncio.Event()

    async def commit() -> None:
        await gate.wait()
        raise MaybeRecorded

    with pytest.raises(MaybeRecorded):
        await run_until_deadline(commit(), background, 0.01)
    gate.set()
    await background.drain(1.0)

    assert background.idle


async def test_result_of_work_within_the_deadline_is_returned() -> None:
    async def work() -> str:
        return "done"

    assert await run_until_deadline(work(), BackgroundTasks()) == "done"
