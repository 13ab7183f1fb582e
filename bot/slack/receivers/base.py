"""What the bot wants of any intake, and the count of what is being answered."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from slack_bolt.request.async_request import AsyncBoltRequest
    from slack_bolt.response import BoltResponse

#: What readiness says before the first payload may come, and after the last one.
AWAY = "The bot is starting, or stopping."


class App(Protocol):
    """What answers payloads: Bolt's `AsyncApp`."""

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse: ...


class Receiver(Protocol):
    """Where payloads come from."""

    def open(self, app: App) -> None:
        """Let payloads in; connecting goes on by itself."""

    async def trouble(self) -> str | None:
        """Say why nothing can reach the bot, or nothing when all is well."""

    async def stop(self, seconds: float) -> None:
        """Let nothing more in, and wait `seconds` at most for the answers under way."""


class InFlight:
    """Counts what is being answered: `with in_flight: …`, or from `begin` to `end`."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_error: object) -> None:
        self.end()

    def begin(self) -> None:
        self._count += 1
        self._idle.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def idle(self, seconds: float) -> None:
        """Wait until nothing is in flight, `seconds` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
