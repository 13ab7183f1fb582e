"""Shared by both receivers: Bolt's requests, and answers in flight."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

#: The problem that readiness reports before `start` and after `stop`.
NOT_RUNNING = "The bot is starting, or stopping."

#: The exceptions of Bolt for fields of an unexpected type.
_UNREADABLE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)

#: The headers that Bolt may see. Slack's signature covers no header, so all others are dropped.
RETRY_HEADERS = ("X-Slack-Retry-Num", "X-Slack-Retry-Reason")


class App(Protocol):
    """Answers payloads: Bolt's `AsyncApp`."""

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse: ...


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
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


class UnreadablePayload(ValueError):
    """Bolt cannot read this payload."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def bolt_request(payload: dict[str, Any], headers: Mapping[str, str]) -> AsyncBoltRequest:
    """Build Bolt's request from a parsed and verified payload; raises `UnreadablePayload`.

    Bolt must not parse HTTP bodies itself: it takes every form that contains the word "payload"
    for an interaction, and so loses commands about a cluster with that name. Of the headers only
    those about retries are kept.
    """
    kept: dict[str, Any] = {name: headers[name] for name in RETRY_HEADERS if name in headers}
    try:
        return AsyncBoltRequest(mode="socket_mode", body=payload, headers=kept)
    except _UNREADABLE as error:
        raise UnreadablePayload from error
