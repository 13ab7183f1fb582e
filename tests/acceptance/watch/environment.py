"""Bots that watch, on one database; tests start and stop them between the fake servers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bot.app import Bot
from bot.sandbox.atlas import Call, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings import load_settings
from tests.acceptance.environment import BotEnvironment, environment
from tests.support.polling import wait_until
from tests.support.timings import LONG_TIMEOUT_SLACK, SHORT_TIMINGS

Json = dict[str, Any]

#: Seconds between two reads of a cluster: less than the setting allows.
INTERVAL = 0.2

#: Seconds within which Slack must show a change in Atlas: several reads, on a busy machine.
TIMEOUT = 20.0


@dataclass(slots=True, kw_only=True)
class WatchEnvironment(BotEnvironment[Bot]):
    """An environment whose bots announce in #ops.

    Attributes:
        environ: settings of the bots that are started from now on.
    """

    environ: dict[str, str] = field(default_factory=dict)

    @property
    def channel(self) -> str:
        return self.slack.workspace.channel("ops").id

    async def start_bot(self, **environ: str) -> Bot:
        """Start one more bot on the same database."""
        given = environment(self.slack, self.atlas, self.folder) | {
            "BOT_WATCH_CHANNEL": self.channel,
            "BOT_WATCH_INTERVAL": "1",
        }
        load = partial(load_settings, given | self.environ | environ, self.folder)
        settings = load()
        if settings.watch_interval == timedelta(seconds=1):
            settings = settings.model_copy(update={"watch_interval": timedelta(seconds=INTERVAL)})
        bot = Bot(settings, timings=SHORT_TIMINGS, load=load)
        self.bots.append(bot)
        await bot.start()
        await self.slack.until(lambda: bool(self.slack.sockets.connections), TIMEOUT)
        return bot

    async def stop_bot(self, bot: Bot) -> None:
        self.bots.remove(bot)
        await bot.stop()

    def announcements(self) -> Mapping[str, list[Json]]:
        """Return the announcements, by job id."""
        found: dict[str, list[Json]] = {}
        for message in self.slack.state.messages("ops"):
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == "cancel_restore_watch":
                found.setdefault(metadata["event_payload"]["job"], []).append(message)
        return found

    async def wait_for_announcement(
        self, job: str, state: str | None = None, seconds: float = TIMEOUT
    ) -> Json:
        """Wait until a job is announced exactly once, in `state` if given."""

        def shown() -> Json | None:
            messages = self.announcements().get(job, [])
            return messages[0] if messages and state in (None, job_state_of(messages[0])) else None

        message = await self.slack.until(shown, seconds)
        assert message is not None
        assert len(self.announcements()[job]) == 1
        return message

    def cluster_reads(self, cluster: str = "") -> list[Call]:
        """Return the calls for the jobs of a cluster, or of all clusters, without challenges."""
        path = f"/clusters/{cluster}/backup/" if cluster else "/backup/restoreJobs?"
        return [call for call in self.atlas.calls if path in call.path and not call.challenge]

    async def wait_for_reads(self, times: int = 2, cluster: str = "prod-eu") -> None:
        """Wait for this many further reads of a cluster, successful or not."""
        before = len(self.cluster_reads(cluster))
        await wait_until(lambda: len(self.cluster_reads(cluster)) >= before + times, TIMEOUT)


def job_state_of(message: Json) -> str:
    return str(message["metadata"]["event_payload"]["job_state"])


def buttons(message: Json) -> list[str]:
    rows = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
    return [element["text"]["text"] for row in rows for element in row]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[WatchEnvironment]:
    """Open both fake servers; stop all bots at the end."""
    async with AsyncExitStack() as stack:
        atlas = await stack.enter_async_context(FakeAtlasServer())
        slack = await stack.enter_async_context(FakeSlackServer(settings=LONG_TIMEOUT_SLACK))
        slack.workspace.app.scopes.add("chat:write.public")
        env = WatchEnvironment(slack=slack, atlas=atlas, folder=folder)
        try:
            yield env
        finally:
            for bot in env.bots:
                await bot.stop()


async def settled(env: WatchEnvironment) -> None:
    """Wait until the first round is announced: seven jobs of the example world."""
    await env.slack.until(lambda: len(env.announcements()) == 7, TIMEOUT)
