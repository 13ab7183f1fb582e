"""The backoff between attempts to connect, and the keeper of a connection."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bot.slack.errors import RateLimited, SlackUnavailable
from bot.slack.receivers.connection import MAX_BACKOFF, ConnectionKeeper, backoff
from bot.tasks import BackgroundTasks, cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.slack.receivers.connection import Connection


class FailingConnect:
    """Counts its calls, which all fail."""

    def __init__(self, error: Exception) -> None:
        self.count = 0
        self._error = error

    async def __call__(self) -> Connection:
        self.count += 1
        raise self._error


@asynccontextmanager
async def started(connect: FailingConnect) -> AsyncIterator[ConnectionKeeper]:
    keeper = ConnectionKeeper("1", connect, BackgroundTasks())
    running = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(5.0):
            while connect.count < 2:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        yield keeper
    finally:
        await cancel_and_wait(running)


def test_first_attempt_has_no_backoff() -> None:
    assert backoff(0) == 0.0


@pytest.mark.parametrize(("attempts", "most"), [(1, 0.25), (2, 0.5), (5, 4.0), (7, MAX_BACKOFF)])
def test_backoff_has_jitter_and_grows_up_to_a_maximum(attempts: int, most: float) -> None:
    pauses = [backoff(attempts) for _ in range(200)]

    assert max(pauses) <= most
    assert max(pauses) - min(pauses) > most / 2


def test_backoff_after_a_thousand_attempts_is_bounded() -> None:
    assert backoff(1000) <= MAX_BACKOFF


def test_backoff_honours_retry_after() -> None:
    assert backoff(1, RateLimited("ratelimited", 30.0)) >= 30.0


@pytest.mark.parametrize("error", [SlackUnavailable(), RuntimeError("a bug"), TimeoutError()])
async def test_keeper_retries_after_any_error_and_reports_it(error: Exception) -> None:
    connect = FailingConnect(error)
    async with started(connect) as keeper:
        assert isinstance(keeper.error, SlackUnavailable)
        assert keeper.interrupted.is_set()


async def test_stopped_keeper_makes_no_more_attempts() -> None:
    connect = FailingConnect(SlackUnavailable())
    async with started(connect):
        pass
    count = connect.count
    await asyncio.sleep(0.3)

    assert connect.count == count
