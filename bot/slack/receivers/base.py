"""Shared by both receivers: the interface, Bolt's requests, answers in flight, the bot token."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.errors import CALL_ERRORS, InvalidToken

#: The problem that readiness reports before `start` and after `stop`.
NOT_RUNNING = "The bot is starting, or stopping."

#: The exceptions of Bolt for fields of an unexpected type.
_UNREADABLE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)

#: The headers that Bolt may see. Slack's signature covers no header, so all others are dropped.
RETRY_HEADERS = ("X-Slack-Retry-Num", "X-Slack-Retry-Reason")

#: The codes by which Slack refuses a token for every call.
TOKEN_CODES = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
)

#: Seconds between two tests of a token that Slack refused.
TOKEN_RETEST_INTERVAL = 10.0


class App(Protocol):
    """Answers payloads: Bolt's `AsyncApp`."""

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse: ...


class Receiver(Protocol):
    """Receives payloads from Slack."""

    def start(self, app: App) -> None:
        """Pass payloads to the app; connecting continues in the background."""

    async def problem(self) -> str | None:
        """Return why no payload can arrive, or None."""

    async def stop(self, seconds: float) -> None:
        """Accept no more payloads, and wait up to `seconds` for the answers in flight."""


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


class TokenStatus:
    """Whether Slack accepts the bot token, from the last answer to any client that shares it.

    Attributes:
        refused_with: Slack's error code while it refuses the token, or None.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tested_at = clock()
        self.refused_with: str | None = None

    def record(self, code: str | None) -> None:
        """Take the error code of an answer, or None for one without an error."""
        if code is None or code in TOKEN_CODES:
            self._tested_at, self.refused_with = self._clock(), code

    async def problem(self, client: AsyncWebClient) -> str | None:
        """Return why nothing can be posted; tests a refused token again, by `client`."""
        if self.refused_with and self._clock() - self._tested_at >= TOKEN_RETEST_INTERVAL:
            with suppress(*CALL_ERRORS):  # the client records the answer
                await client.auth_test()
        return InvalidToken(self.refused_with).sentence if self.refused_with else None


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
    kept: dict[str, str | Sequence[str]] = {
        name: headers[name] for name in RETRY_HEADERS if name in headers
    }
    try:
        return AsyncBoltRequest(mode="socket_mode", body=payload, headers=kept)
    except _UNREADABLE as error:
        raise UnreadablePayload from error
