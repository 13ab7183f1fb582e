"""Starts the environment of the demo: both fake servers, a temporary folder, the real bot."""

import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bot.app import StartError
from bot.demo.call_log import CallLog
from bot.demo.controller import Controller
from bot.demo.process import BotProcess
from bot.demo.scenarios import GROUP, OPS
from bot.demo.site import ROLES, Site
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer, World
from bot.sandbox.slack import FakeSlackServer


@asynccontextmanager
async def open_demo(
    scenario: str, *, port: int = 0, approvals: int = 0, pauses: float = 0.0
) -> AsyncIterator[Controller]:
    """Start everything and a scenario; stop everything at the end.

    Args:
        scenario: its name.
        port: where the page and the fake Slack listen; 0 takes a free one.
        approvals: how many other people must approve; see `Scenario.without_approval`.
        pauses: seconds for which its people pause, which are over when it begins.

    Raises:
        StartError: the port cannot be used, or the bot does not connect.
    """
    with tempfile.TemporaryDirectory(prefix="cancel-restore-demo-") as folder:
        slack = FakeSlackServer(port=port)
        async with new_atlas() as atlas:
            # Calls to the other address are of the command line: the Calls pane tells them apart.
            atlas_of_bot = await atlas.listen_again()
            controller = _controller(slack, atlas, atlas_of_bot, Path(folder), approvals)
            async with _listening(slack, port):
                try:
                    await controller.start_scenario(scenario, pauses)
                    yield controller
                finally:
                    await controller.close()


def new_atlas() -> FakeAtlasServer:
    """Build a fake Atlas whose restore jobs were started lately, as their ids say."""
    world = World.example(dated_ids=True)
    # With more downloads that run, the bot would announce the last one seconds later.
    world.projects[PROJECT_ID].clusters["orders-sharded"].jobs.clear()
    return FakeAtlasServer(world)


def _controller(
    slack: FakeSlackServer,
    atlas: FakeAtlasServer,
    atlas_of_bot: str,
    folder: Path,
    approvals: int,
) -> Controller:
    """Serve the page from the fake Slack, and log the calls of both servers."""
    slack.workspace.app.scopes.add("chat:write.public")
    for name in ROLES:
        person = slack.workspace.user(name)
        if slack.workspace.is_here(person):
            slack.workspace.direct_message(person)
    events = slack.world.events
    call_log = CallLog(events, time.time, atlas_of_bot)
    controller = Controller(
        slack=slack,
        atlas=atlas,
        process=BotProcess(folder),
        call_log=call_log,
        environ=lambda needed: _environ(slack, atlas_of_bot, folder, needed),
        approvals=approvals,
    )
    events.subscribe(call_log.add_slack_event)
    atlas.recorder.subscribe(controller.on_call)
    slack.extra_routes = Site(controller).routes()
    return controller


def _environ(slack: FakeSlackServer, atlas: str, folder: Path, approvals: int) -> dict[str, str]:
    """Return the bot's settings for these servers, with its database in `folder`."""
    return {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "MONGODB_ATLAS_PUBLIC_API_KEY": PUBLIC_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PROJECT_ID": PROJECT_ID,
        "MONGODB_ATLAS_BASE_URL": atlas,
        "BOT_APPROVALS": str(approvals),
        "BOT_APPROVERS": GROUP,
        "BOT_CHANNEL": OPS,
        "BOT_WATCH_INTERVAL": "2",
        "DATABASE_URL": f"sqlite:///{folder}/demo.db",
        "LOG_FORMAT": "console",
        "PORT": "0",
    }


@asynccontextmanager
async def _listening(slack: FakeSlackServer, port: int) -> AsyncIterator[FakeSlackServer]:
    """Start the fake Slack.

    Raises:
        StartError: the port cannot be used.
    """
    try:
        await slack.__aenter__()
    except OSError as error:
        await slack.__aexit__(None, None, None)
        why = os.strerror(error.errno or 0)
        raise StartError(
            f"Port {port} cannot be used ({why}): choose another with --port."
        ) from error
    async with AsyncExitStack() as stack:
        stack.push_async_exit(slack)
        yield slack
