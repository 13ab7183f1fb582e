"""Shared by both receivers: what answers payloads, and how many answers are in flight."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.tasks import wait_up_to

#: Answers a payload: `async_dispatch` of Bolt's app.
Dispatch: TypeAlias = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

#: The problem that readiness reports before `start` and after `stop`.
NOT_RUNNING = "The bot is starting, or stopping."


class InFlight:
    """Counts answers in flight, each from `begin` to `end`."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        self._count += 1
        self._idle.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait up to `seconds` until nothing is in flight."""
        await wait_up_to(seconds, self._idle)
