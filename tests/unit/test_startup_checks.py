"""What stands in the way of a start is told all at once; a start that is given up ends clean."""

from __future__ import annotations

import asyncio
import gc
import warnings

from bot.startup_checks import StartError, run_steps


async def in_good_order() -> None:
    """A step that can be taken."""


async def test_every_step_is_taken_and_each_refusal_is_told() -> None:
    taken: list[str] = []

    async def refused(why: str) -> None:
        taken.append(why)
        raise StartError(why)

    why = await run_steps(lambda: refused("no port"), in_good_order, lambda: refused("no token"))

    assert why == taken == ["no port", "no token"]


async def test_a_start_that_is_given_up_in_one_step_has_not_begun_the_next() -> None:
    """Else Python complains in the log of a coroutine that nobody awaited."""
    waiting = asyncio.Event()
    with warnings.catch_warnings(record=True) as said:
        start = asyncio.create_task(run_steps(waiting.wait, in_good_order))
        await asyncio.sleep(0)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        gc.collect()

    assert start.cancelled()
    assert said == []
