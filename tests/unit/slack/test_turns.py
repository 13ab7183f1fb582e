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


async def test_what_takes_long_lets_the_next_begin_beside_it() -> None:
    work = Work(Turns(at_once=1, longest=0.01))

    await work.starts(2)
    assert work.begun == [0]

    await asyncio.sleep(0.05)
    assert work.begun == [0, 1]
    await work.ends()


async def test_a_turn_that_was_over_early_is_not_given_back_twice() -> None:
    turns = Turns(at_once=1, longest=0.2)
    early = Work(turns)
    await early.starts(1)
    await asyncio.sleep(0.3)
    await early.ends()

    later = Work(turns)
    await later.starts(2)

    assert later.begun == [0]
    await later.ends()


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
