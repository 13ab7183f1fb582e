"""Turns: few begin at once while there is much to do, and as many as ask while there is not."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from bot.slack.turns import MOMENT, Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Work:
    """Things that take their turn, are noted when they begin, and last until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.begun: list[int] = []
        self.go = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def starts(self, count: int) -> None:
        first = len(self.tasks)
        self.tasks += [asyncio.create_task(self._does(first + each)) for each in range(count)]
        await settled()

    async def _does(self, number: int) -> None:
        async with self.turns.taken():
            self.begun.append(number)
            await self.go.wait()

    async def ends(self) -> None:
        self.go.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def much_to_do() -> AsyncIterator[None]:
    """Keep the event loop busy."""

    async def works() -> None:
        while True:
            until = time.thread_time() + MOMENT / 5
            while time.thread_time() < until:
                pass
            await asyncio.sleep(0)

    working = asyncio.create_task(works())
    await settled()
    yield
    working.cancel()


async def test_while_there_is_much_to_do_some_begin_and_the_others_follow_in_order() -> None:
    async with much_to_do():
        work = Work(Turns(at_once=2))

        await work.starts(5)
        await asyncio.sleep(5 * MOMENT)

        assert work.begun == [0, 1]
        await work.ends()
        assert work.begun == [0, 1, 2, 3, 4]


async def test_what_waits_for_somebody_else_keeps_nobody_from_beginning() -> None:
    work = Work(Turns(at_once=4))

    await work.starts(50)
    await asyncio.sleep(100 * MOMENT)

    assert work.begun == [*range(50)]
    await work.ends()


async def test_a_turn_beside_the_few_makes_no_room_for_more() -> None:
    turns = Turns(at_once=1)
    few, beside, later = Work(turns), Work(turns), Work(turns)
    await few.starts(1)
    await beside.starts(1)
    await asyncio.sleep(0.1)
    assert beside.begun == [0]

    async with much_to_do():
        await beside.ends()
        await later.starts(1)
        await asyncio.sleep(5 * MOMENT)
        assert later.begun == []

        await few.ends()
        await later.ends()
        assert later.begun == [0]


async def test_a_turn_is_given_back_after_an_error() -> None:
    async with much_to_do():
        turns = Turns(at_once=1)
        with pytest.raises(ValueError, match="no"):
            async with turns.taken():
                raise ValueError("no")

        work = Work(turns)
        await work.starts(1)

        assert work.begun == [0]
        await work.ends()


async def test_who_stops_waiting_takes_no_turn() -> None:
    async with much_to_do():
        work = Work(Turns(at_once=1))
        await work.starts(3)

        work.tasks[1].cancel()
        with suppress(asyncio.CancelledError):
            await work.tasks[1]
        await work.ends()

        assert work.begun == [0, 2]
