"""Turns: few things begin at once, in order, and none keeps the others waiting for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bot.slack.turns import Turns

LONG = 3600.0


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


async def test_so_many_begin_and_the_others_follow_in_order() -> None:
    work = Work(Turns(at_once=2, longest=LONG))

    await work.starts(5)

    assert work.begun == [0, 1]
    await work.ends()
    assert work.begun == [0, 1, 2, 3, 4]


async def test_where_no_turn_ends_the_next_begins_beside_it() -> None:
    work = Work(Turns(at_once=1, longest=0.01))

    await work.starts(2)
    assert work.begun == [0]

    await asyncio.sleep(0.05)
    assert work.begun == [0, 1]
    await work.ends()


async def test_the_longer_no_turn_ends_the_sooner_the_next_begins() -> None:
    work = Work(Turns(at_once=1, longest=0.1, shortest=0.001))

    await work.starts(50)
    await asyncio.sleep(1.0)  # one after each tenth of a second would be ten

    assert len(work.begun) == 50
    await work.ends()


async def test_a_turn_beside_the_few_makes_no_room_for_more() -> None:
    turns = Turns(at_once=1, longest=0.2)
    few, beside = Work(turns), Work(turns)
    await few.starts(1)
    await beside.starts(1)
    await asyncio.sleep(0.3)
    assert beside.begun == [0]
    await beside.ends()

    later = Work(turns)
    await later.starts(1)

    assert later.begun == []
    await few.ends()
    await later.ends()
    assert later.begun == [0]


async def test_a_turn_is_given_back_after_an_error() -> None:
    turns = Turns(at_once=1, longest=LONG)
    with pytest.raises(ValueError, match="no"):
        async with turns.taken():
            raise ValueError("no")

    work = Work(turns)
    await work.starts(1)

    assert work.begun == [0]
    await work.ends()


async def test_who_stops_waiting_takes_no_turn() -> None:
    work = Work(Turns(at_once=1, longest=LONG))
    await work.starts(3)

    work.tasks[1].cancel()
    with suppress(asyncio.CancelledError):
        await work.tasks[1]
    await work.ends()

    assert work.begun == [0, 2]
