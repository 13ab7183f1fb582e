"""An audit log over a real database, and workers that post its events to a real receiver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Request
from bot.storage.database import Database, wall_clock
from bot.storage.event_store import WebhookStore
from bot.storage.request_store import RequestStore
from bot.timings import Timings
from bot.webhook import WebhookClient, WebhookWorker
from tests.support.domain import RINA, a_request
from tests.support.polling import wait_until
from tests.support.receiver import SECRET, Receiver
from tests.support.timings import DATABASE_TIMEOUT

TIMINGS = Timings(
    webhook_poll_interval=0.05,
    webhook_count_interval=0.1,
    webhook_first_pause=0.05,
    webhook_longest_pause=0.2,
)


@dataclass(slots=True)
class WebhookEnv:
    """Records events, and starts workers that send them."""

    database: Database
    receiver: Receiver
    try_timeout: float = Timings.webhook_try_timeout

    @property
    def requests(self) -> RequestStore:
        return RequestStore(self.database, wall_clock)

    async def request(self) -> Request:
        """Record a request: two events."""
        return await self.requests.create(a_request(), RINA)

    async def events(self, request: Request, count: int) -> None:
        for _ in range(count):
            await self.requests._write(lambda uow: uow.record(request, EventName.CHECK_FAILED))

    @asynccontextmanager
    async def worker(self, owner: str = "one") -> AsyncIterator[WebhookWorker]:
        store = WebhookStore(self.database, wall_clock, owner)
        timings = replace(TIMINGS, webhook_try_timeout=self.try_timeout)
        client = WebhookClient(
            SecretStr(self.receiver.url), SecretStr(SECRET), timeout=self.try_timeout
        )
        worker = WebhookWorker(store, client, timings=timings)
        loop = asyncio.create_task(worker.run())
        await wait_until(lambda: worker._backlog is not None)
        try:
            yield worker
        finally:
            await worker.stop(loop, 0.1)


@pytest.fixture
async def env(database_url: str) -> AsyncIterator[WebhookEnv]:
    database = Database(database_url, timeout=DATABASE_TIMEOUT)
    receiver = Receiver()
    async with receiver.open():
        yield WebhookEnv(database, receiver)
    await database.close()
