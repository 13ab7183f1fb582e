"""The keeper of the connections, while each attempt fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.slack.errors import RateLimited, SlackUnavailable
from bot.slack.receivers.connections import Connection, ConnectionKeeper, ReconnectPlan
from bot.tasks import BackgroundTasks, cancel_and_wait
from tests.support.polling import wait_until


class FailingConnect:
    """Counts its calls, which all fail."""

    def __init__(self, error: Exception) -> None:
        self.count = 0
        self._error = error

    async def __call__(self) -> Connection:
        self.count += 1
        raise self._error


@asynccontextmanager
async def started(connect: FailingConnect, calls: int = 2) -> AsyncIterator[ConnectionKeeper]:
    keeper = ConnectionKeeper(connect, ReconnectPlan(), BackgroundTasks())
    running = asyncio.create_task(keeper.run())
    try:
        await wait_until(lambda: connect.count >= calls and keeper.error)
        yield keeper
    finally:
        await cancel_and_wait(running)


@pytest.mark.parametrize("error", [SlackUnavailable(), RuntimeError("a bug"), TimeoutError()])
async def test_keeper_retries_after_any_error_and_reports_it(error: Exception) -> None:
    connect = FailingConnect(error)
    async with started(connect) as keeper:
        assert isinstance(keeper.error, SlackUnavailable)


async def test_keeper_pauses_as_long_as_slack_asks() -> None:
    connect = FailingConnect(RateLimited("ratelimited", 30.0))
    async with started(connect, calls=1) as keeper:
        assert keeper.plan.next_at([]) - keeper.clock() > 25
