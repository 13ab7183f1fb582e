"""Builds the environment of the demo: both fake servers, a temporary database, the real bot."""

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.app import Bot
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer, World
from bot.sandbox.slack import FakeSlackServer
from bot.settings import load_settings
from bot.startup_checks import StartError

#: The channel in which people type commands, and the bot posts.
CHANNEL = "ops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Both fake servers and the bot, in this process."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    bot: Bot


def ready_line(slack: FakeSlackServer, atlas: FakeAtlasServer) -> str:
    """Return the JSON line with the addresses and credentials of the fake servers."""
    return json.dumps(
        {
            "page": f"{slack.base_url}/",
            "slack_api": slack.api_url,
            "atlas": atlas.url,
            "project_id": PROJECT_ID,
            "public_key": PUBLIC_KEY,
            "private_key": PRIVATE_KEY,
        }
    )


@asynccontextmanager
async def open_environment(
    *, approvals: int = 0, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Environment]:
    """Start both fake servers and the bot in Socket Mode; stop all at the end.

    Args:
        approvals: how many other people must approve.
        settings: further settings of the bot.
    """
    with tempfile.TemporaryDirectory(prefix="cancel-restore-demo-") as folder:
        async with new_atlas() as atlas, listening(FakeSlackServer(), 0) as slack:
            slack.workspace.app.scopes.add("chat:write.public")
            environ = environment(slack, atlas, folder, approvals) | dict(settings or {})
            bot = Bot(load_settings(environ, Path(folder)))
            try:
                await bot.start()
                await slack.until(lambda: bool(slack.sockets.connections))
                yield Environment(slack=slack, atlas=atlas, bot=bot)
            finally:
                await bot.stop()


def new_atlas() -> FakeAtlasServer:
    """Build a fake Atlas whose restore jobs were started lately, as their ids say."""
    return FakeAtlasServer(World.example(dated_ids=True))


def are_announced(slack: FakeSlackServer, atlas: FakeAtlasServer) -> bool:
    """Whether each download that can be cancelled is named in #ops; later ones are new."""
    said = str(slack.state.messages(CHANNEL))
    return all(
        job.id in said
        for cluster, job in atlas.world.jobs()
        if not cluster.flex and job.delivery_type == "download" and not job.over
    )


@asynccontextmanager
async def listening(slack: FakeSlackServer, port: int) -> AsyncIterator[FakeSlackServer]:
    """Start the fake Slack.

    Raises:
        StartError: the port cannot be used.
    """
    try:
        await slack.__aenter__()
    except OSError as error:
        await slack.__aexit__(None, None, None)
        raise StartError(
            f"Port {port} cannot be used ({error.strerror}): choose another with --port."
        ) from error
    async with AsyncExitStack() as stack:
        stack.push_async_exit(slack)
        yield slack


def environment(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: str, approvals: int
) -> dict[str, str]:
    """Return the bot's settings for these servers, with its database in `folder`."""
    return {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "MONGODB_ATLAS_PUBLIC_API_KEY": PUBLIC_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PROJECT_ID": PROJECT_ID,
        "MONGODB_ATLAS_BASE_URL": atlas.url,
        "BOT_APPROVALS": str(approvals),
        "DATABASE_URL": f"sqlite:///{folder}/demo.db",
        "PORT": "0",
    }
