"""Two replicas on one database, behind a load balancer or on Socket Mode, rolled in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.timings import Timings
from tests.acceptance.rolling_update.load import CommandLoad
from tests.acceptance.rolling_update.load_balancer import LoadBalancer
from tests.support.environ import bot_environ
from tests.support.process import BotProcess
from tests.support.timings import LONG_TIMEOUT_SLACK

Mode = Literal["http", "socket"]

#: Which is first, for each replica: the new one's start, or the old one's end.
Order = Literal["start first", "stop first"]

REPLICAS = 2

#: Seconds that an end may take, as documented.
SHUTDOWN_TIMEOUT = 10.0

#: Seconds of steady load before the first replica is rolled, and after the last.
PAUSE_BETWEEN_ROLLS = 1.0

#: Minimum number of commands during the update.
MIN_COMMANDS = 16


@dataclass(slots=True, kw_only=True)
class ReplicaSet:
    """The replicas, with the servers around them."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    database_url: str
    mode: Mode
    balancer: LoadBalancer
    stack: AsyncExitStack
    load: CommandLoad
    timings: Timings | None
    running: list[BotProcess] = field(default_factory=list)
    ended: list[BotProcess] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        http = self.mode == "http"
        return bot_environ(self.slack, self.atlas, self.database_url, http=http)

    async def start(self) -> None:
        """Start one more replica; it counts once `/readyz` and the balancer have it as ready."""
        bot = self.stack.enter_context(BotProcess(self.environment(), self.timings))
        self.balancer.add(bot.url)
        await bot.ready()
        await self.balancer.wait_until_ready(bot.url)
        self.running.append(bot)

    async def stop(self) -> None:
        """Send SIGTERM to the oldest replica and see it end, in time and in order."""
        bot = self.running.pop(0)
        assert await bot.stop(SHUTDOWN_TIMEOUT) == 0, bot.log
        self.balancer.remove(bot.url)
        self.ended.append(bot)

    async def roll(self, order: Order) -> None:
        """Put a new replica in the place of each."""
        for _ in range(REPLICAS):
            if order == "start first":
                await self.start()
                await self.stop()
            else:
                await self.stop()
                await self.start()

    async def roll_under_load(self, order: Order) -> None:
        """Roll under load, and wait until every request has ended."""
        enough = asyncio.Event()
        asking = asyncio.create_task(self.load.ask_until(enough))
        try:
            await asyncio.sleep(PAUSE_BETWEEN_ROLLS)
            while len(self.load.sessions) < MIN_COMMANDS:  # a quick machine rolls more often
                await self.roll(order)
                await asyncio.sleep(PAUSE_BETWEEN_ROLLS)
        finally:
            enough.set()
            await asking
        await self.load.until_ended()

    def log(self) -> str:
        return "\n".join(bot.log for bot in (*self.ended, *self.running))


@asynccontextmanager
async def open_replica_set(
    database_url: str, mode: Mode, timings: Timings | None
) -> AsyncIterator[ReplicaSet]:
    """Open the fake servers and the balancer, and start two replicas; all of them end with it."""
    async with AsyncExitStack() as stack:
        atlas = await stack.enter_async_context(FakeAtlasServer())
        # Triggers live longer than Slack's, as a busy machine may open dialogs late.
        slack = await stack.enter_async_context(FakeSlackServer(settings=LONG_TIMEOUT_SLACK))
        balancer = await stack.enter_async_context(LoadBalancer().open())
        atlas.behaviour.rate_capacity = 100_000  # many projects' worth of calls
        if mode == "http":
            slack.http.request_url = f"{balancer.url}/slack/events"
        replicas = ReplicaSet(
            slack=slack,
            atlas=atlas,
            database_url=database_url,
            mode=mode,
            balancer=balancer,
            stack=stack,
            load=CommandLoad(slack=slack, atlas=atlas),
            timings=timings,
        )
        for _ in range(REPLICAS):
            await replicas.start()
        yield replicas
