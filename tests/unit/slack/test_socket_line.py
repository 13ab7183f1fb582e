"""A line of Socket Mode: pauses between tries, and the watchdog that starts it again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bot.slack.errors import NotReachable, RateLimited
from bot.slack.receivers.connection_keeper import LONGEST_PAUSE, ConnectionKeeper, pause_before
from bot.tasks import BackgroundTasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bot.slack.receivers.connection import Connection


class Calls:
    """Counts the calls of something that never gives a connection."""

    def __init__(self, then: Callable[[], Awaitable[Connection]]) -> None:
        self.count = 0
        self._then = then

    async def __call__(self) -> Connection:
        self.count += 1
        return await self._then()


async def never() -> Connection:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def broken() -> Connection:
    raise RuntimeError("a mistake of ours")


async def refused() -> Connection:
    raise NotReachable


@asynccontextmanager
async def started(dial: Calls, now: Callable[[], float]) -> AsyncIterator[ConnectionKeeper]:
    line = ConnectionKeeper("1", dial, BackgroundTasks(), now)
    line.start()
    await asyncio.sleep(0.01)
    try:
        yield line
    finally:
        await line.stop()


async def looked_after(line: ConnectionKeeper, now: list[float], until: float) -> None:
    """Let the watchdog look every second, up to a moment."""
    while now[0] < until:
        now[0] += 1.0
        line.look_after()
    await asyncio.sleep(0.3)  # the pause before a second try, at the longest


def test_the_first_try_is_made_at_once() -> None:
    assert pause_before(0) == 0.0


@pytest.mark.parametrize(("tries", "most"), [(1, 0.25), (2, 0.5), (5, 4.0), (7, LONGEST_PAUSE)])
def test_pauses_are_spread_and_grow_up_to_a_bound(tries: int, most: float) -> None:
    pauses = [pause_before(tries) for _ in range(200)]

    assert max(pauses) <= most
    assert max(pauses) - min(pauses) > most / 2


def test_after_a_thousand_tries_the_pause_is_still_bounded() -> None:
    assert pause_before(1000) <= LONGEST_PAUSE


def test_what_slack_says_about_the_pause_is_kept() -> None:
    assert pause_before(1, RateLimited("ratelimited", 30.0)) >= 30.0


async def test_a_line_whose_task_died_is_started_again() -> None:
    dial = Calls(broken)
    async with started(dial, lambda: 0.0) as line:
        line.look_after()
        await asyncio.sleep(0.3)

        assert dial.count == 2


async def test_a_line_that_is_stuck_is_started_again_and_one_that_waits_is_not() -> None:
    dial, now = Calls(never), [0.0]
    async with started(dial, lambda: now[0]) as line:
        await looked_after(line, now, until=15.0)
        assert dial.count == 1

        await looked_after(line, now, until=16.0)
        assert dial.count == 2


async def test_a_line_in_a_process_that_was_stopped_for_a_while_is_not_stuck() -> None:
    """Whoever is stopped sees all clocks jump, before it has heard what came in time."""
    dial, now = Calls(never), [0.0]
    async with started(dial, lambda: now[0]) as line:
        now[0] = 30.0
        await looked_after(line, now, until=36.0)
        assert dial.count == 1

        await looked_after(line, now, until=37.0)
        assert dial.count == 2


async def test_a_line_that_dials_after_a_standstill_has_all_its_time_for_it() -> None:
    async def refused_at_first() -> Connection:
        return await (refused() if dial.count == 1 else never())

    dial, now = Calls(refused_at_first), [0.0]
    async with started(dial, lambda: now[0]) as line:
        now[0] = 30.0  # stopped in the pause before the second try
        line.look_after()
        await asyncio.sleep(0.3)
        assert dial.count == 2

        await looked_after(line, now, until=44.0)
        assert dial.count == 2

        await looked_after(line, now, until=46.0)
        await asyncio.sleep(0.3)  # the pause before a third try is up to twice as long
        assert dial.count == 3


async def test_a_line_says_why_it_has_no_connection_and_tries_again() -> None:
    dial = Calls(refused)
    async with started(dial, lambda: 0.0) as line:
        await asyncio.sleep(0.3)

        assert dial.count > 1
        assert isinstance(line.trouble, NotReachable)
        assert line.shaken.is_set()


async def test_a_line_that_was_never_started_needs_no_looking_after() -> None:
    dial = Calls(never)
    line = ConnectionKeeper("1", dial, BackgroundTasks())
    line.look_after()
    await line.stop()

    assert dial.count == 0
