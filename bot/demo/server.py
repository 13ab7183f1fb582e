"""`cancel-restore demo`: both fake servers, the bot in its own process, and the page."""

import tempfile
import time
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from bot.demo.call_log import CallLog
from bot.demo.controller import Controller
from bot.demo.environment import environment, listening, new_atlas, ready_line
from bot.demo.process import BotProcess
from bot.demo.scenarios import FIRST, GROUP
from bot.demo.site import ROLES, Site
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.tasks import stop_event


@asynccontextmanager
async def open_demo(
    *, port: int = 0, approvals: int = 0, fault: str = ""
) -> AsyncIterator[Controller]:
    """Start everything and the first scenario; stop everything at the end.

    Args:
        port: where the page and the fake Slack listen; 0 takes a free one.
        approvals: how many other people must approve; see `Scenario.without_approval`.
        fault: the scenario of this fault comes first.

    Raises:
        StartError: the port cannot be used, or the bot does not connect.
    """
    with tempfile.TemporaryDirectory(prefix="cancel-restore-demo-") as folder:
        slack = FakeSlackServer(port=port)
        async with new_atlas() as atlas:
            controller = build_controller(slack, atlas, Path(folder), approvals)
            async with listening(slack, port):
                try:
                    await controller.start_scenario(fault or ("approval" if approvals else FIRST))
                    yield controller
                finally:
                    await controller.close()


def build_controller(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path, approvals: int
) -> Controller:
    """Serve the page from the fake Slack, and log the calls of both servers."""
    slack.workspace.app.scopes.add("chat:write.public")
    for name in ROLES:
        person = slack.workspace.user(name)
        if slack.workspace.is_here(person):
            slack.workspace.direct_message(person)
    events = slack.world.events
    call_log = CallLog(events, time.time)
    controller = Controller(
        slack=slack,
        atlas=atlas,
        process=BotProcess(folder),
        call_log=call_log,
        environ=lambda needed: settings(slack, atlas, folder, needed),
        approvals=approvals,
    )
    events.subscribe(call_log.add_slack_event)
    events.subscribe(controller.on_slack_event)
    atlas.recorder.subscribe(controller.on_call)
    slack.extra_routes = Site(controller).routes()
    return controller


def settings(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path, approvals: int
) -> dict[str, str]:
    """Return the bot's settings: those of the script, with a group of approvers."""
    base = environment(slack, atlas, str(folder), approvals)
    return base | {"BOT_APPROVERS": GROUP, "LOG_FORMAT": "console"}


async def run_demo(out: TextIO, port: int, approvals: int, fault: str, *, browser: bool) -> None:
    """Run the demo until SIGTERM or SIGINT; write one JSON line to `out` when it is ready."""
    stop = stop_event()
    async with open_demo(port=port, approvals=approvals, fault=fault) as controller:
        out.write(ready_line(controller.slack, controller.atlas) + "\n")
        out.flush()
        if browser:
            webbrowser.open(f"{controller.slack.base_url}/")
        await stop.wait()
