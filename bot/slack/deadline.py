"""Keeps an answer within Slack's 3 seconds without giving up what was begun."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from bot.cancellation.errors import MaybeRecorded

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bot.tasks import BackgroundTasks

T = TypeVar("T")

#: Seconds for everything that an ack waits for; Slack gives 3, the network takes some.
FOR_AN_ACK = 2.5


async def run_until_deadline(
    work: Coroutine[Any, Any, T], background: BackgroundTasks, seconds: float = FOR_AN_ACK
) -> T:
    """Return what `work` returns, or raise what it raises.

    Raises:
        MaybeRecorded: it took longer; it goes on, since it may be in the middle of a commit.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    background.start(_late(task), "late answer")
    raise MaybeRecorded


async def _late(task: asyncio.Future[Any]) -> None:
    """See a late answer to its end: the person has been told already that it is uncertain."""
    await asyncio.gather(task, return_exceptions=True)
