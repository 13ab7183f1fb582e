"""A watch to look at: fake servers that live on, one ledger, and bots that come and go."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bot.app import Bot
from bot.sandbox.atlas import PROJECT_ID, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings import load_settings
from tests.acceptance.environment import environment
from tests.support.timings import SHORT_TIMINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from bot.sandbox.atlas import Call

Json = dict[str, Any]

#: Seconds between two reads of a cluster: less than a setting can say.
INTERVAL = 0.2

#: Seconds in which what happens at Atlas must show in Slack: several looks, on a busy machine.
TIMEOUT = 15.0


@dataclass(slots=True, kw_only=True)
class WatchEnvironment:
    """Both fake servers, and whoever watches between them."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    bots: list[Bot] = field(default_factory=list)

    @property
    def channel(self) -> str:
        return self.slack.workspace.channel("ops").id

    async def starts(self, **environ: str) -> Bot:
        """Start one more bot, on the same ledger."""
        given = environment(self.slack, self.atlas, self.folder) | {
            "BOT_WATCH_CHANNEL": self.channel,
            "BOT_WATCH_INTERVAL": "1",
        }
        settings = load_settings(given | self.environ | environ, self.folder)
        if settings.watch_interval == timedelta(seconds=1):
            settings = settings.model_copy(update={"watch_interval": timedelta(seconds=INTERVAL)})
        bot = Bot(settings, timings=SHORT_TIMINGS)
        self.bots.append(bot)
        await bot.start()
        await self.slack.until(lambda: bool(self.slack.sockets.connections), TIMEOUT)
        return bot

    async def stops(self, bot: Bot) -> None:
        self.bots.remove(bot)
        await bot.stop()

    def new_job(self, cluster: str = "prod-eu", *, live: bool = False) -> str:
        """Start a download at Atlas; its id."""
        place = self.atlas.world.projects[PROJECT_ID].clusters[cluster]
        return self.atlas.world.add_job(place, live=live).id

    def announced(self) -> Mapping[str, list[Json]]:
        """Everything that the watch has announced, by job."""
        found: dict[str, list[Json]] = {}
        for message in self.slack.state.messages("ops"):
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == "cancel_restore_watch":
                found.setdefault(metadata["event_payload"]["job"], []).append(message)
        return found

    async def hears_of(self, job: str, state: str | None = None, seconds: float = TIMEOUT) -> Json:
        """Wait until a job is announced, once, and shown in a state."""

        def shown() -> Json | None:
            messages = self.announced().get(job, [])
            return messages[0] if messages and state in (None, state_of(messages[0])) else None

        message = await self.slack.until(shown, seconds)
        assert message is not None
        assert len(self.announced()[job]) == 1
        return message

    def looks(self, cluster: str = "") -> list[Call]:
        """List the calls that asked for the jobs of a cluster, or of any; without challenges."""
        path = f"/clusters/{cluster}/backup/" if cluster else "/backup/restoreJobs?"
        return [call for call in self.atlas.calls if path in call.path and not call.challenge]

    async def looks_again(self, times: int = 2, cluster: str = "prod-eu") -> None:
        """Wait until a cluster was looked at so many times more, whatever came of it."""
        before = len(self.looks(cluster))
        await until(lambda: len(self.looks(cluster)) >= before + times)


async def until(predicate: Callable[[], object], seconds: float = TIMEOUT) -> None:
    """Look every few milliseconds until `predicate` holds."""
    for _ in range(round(seconds / 0.01)):
        if predicate():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def state_of(message: Json) -> str:
    return str(message["metadata"]["event_payload"]["job_state"])


def buttons(message: Json) -> list[str]:
    rows = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
    return [element["text"]["text"] for row in rows for element in row]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[WatchEnvironment]:
    """Open both fake servers; every bot that was started ends before them."""
    async with AsyncExitStack() as stack:
        atlas = await stack.enter_async_context(FakeAtlasServer())
        slack = await stack.enter_async_context(FakeSlackServer())
        slack.workspace.app.scopes.add("chat:write.public")
        env = WatchEnvironment(slack=slack, atlas=atlas, folder=folder)
        try:
            yield env
        finally:
            for bot in env.bots:
                await bot.stop()
