"""Shared by both receivers: Bolt's requests, and answers in flight."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.tasks import wait_up_to

#: Answers a payload: `async_dispatch` of Bolt's app.
Dispatch: TypeAlias = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

#: The problem that readiness reports before `start` and after `stop`.
NOT_RUNNING = "The bot is starting, or stopping."


class InFlight:
    """Counts answers in flight: `with in_flight: …`, or from `begin` to `end`."""

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

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait up to `seconds` until nothing is in flight."""
        await wait_up_to(seconds, self._idle)


class UnreadablePayload(ValueError):
    """Bolt cannot read this payload."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def bolt_request(payload: dict[str, Any]) -> AsyncBoltRequest:
    """Build Bolt's request from a parsed and verified payload; raises `UnreadablePayload`.

    Bolt must not parse HTTP bodies itself: it takes every form that contains the word "payload"
    for an interaction, and so loses commands about a cluster with that name. It gets no header,
    because Slack's signature covers none.
    """
    try:
        return AsyncBoltRequest(mode="socket_mode", body=payload)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UnreadablePayload from error  # a field has an unexpected type
