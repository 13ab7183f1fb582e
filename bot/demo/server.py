"""`cancel-restore demo`: both stand-ins, the bot in a process of its own, and the page."""

from __future__ import annotations

import tempfile
import time
import webbrowser
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bot.demo.call_log import CallLog
from bot.demo.controller import Controller
from bot.demo.environment import announcement, environment, listening
from bot.demo.process import BotProcess
from bot.demo.scenarios import FIRST
from bot.demo.site import ROLES, Site
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

#: The user group of the Slack stand-in whose members approve.
APPROVERS = "S0APPROVE1"


@asynccontextmanager
async def open_stage(
    *, port: int = 0, approvals: int = 0, fault: str = ""
) -> AsyncIterator[Controller]:
    """Start everything and set the first scene; end all of it at the end.

    Args:
        port: where the page and the Slack stand-in listen; 0 takes a free one.
        approvals: how many other people must approve, in every scene but one: see `Scene.alone`.
        fault: the scene of this fault comes first.

    Raises:
        StartError: the port cannot be had, or the bot does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="cancel-restore-demo-") as folder:
        slack = FakeSlackServer(port=port)
        async with FakeAtlasServer() as atlas:
            stage = build_stage(slack, atlas, Path(folder), approvals)
            async with listening(slack, port):
                try:
                    await stage.play(fault or ("approval" if approvals else FIRST))
                    yield stage
                finally:
                    await stage.close()


def build_stage(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path, approvals: int
) -> Controller:
    """Put the page on the Slack stand-in, and its tape between both."""
    slack.workspace.app.scopes.add("chat:write.public")
    for name in ROLES:
        person = slack.workspace.user(name)
        if slack.workspace.is_here(person):
            slack.workspace.direct_message(person)
    news = slack.world.events
    tape = CallLog(news, time.time)
    stage = Controller(
        slack=slack,
        atlas=atlas,
        process=BotProcess(folder),
        tape=tape,
        environ=lambda needed: settings(slack, atlas, folder, needed),
        approvals=approvals,
    )
    news.subscribe(tape.slack)
    atlas.recorder.subscribe(stage.on_call)
    slack.extra_routes = Site(stage).routes()
    return stage


def settings(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path, approvals: int
) -> dict[str, str]:
    """Return the bot's settings: those of the script, approvers by group, and a log to read."""
    given = environment(slack, atlas, str(folder), approvals)
    return given | {"BOT_APPROVERS": APPROVERS, "LOG_FORMAT": "console"}


async def run_demo(
    out: TextIO,
    stopped: asyncio.Event,
    *,
    port: int,
    approvals: int,
    fault: str,
    browser: bool,
) -> None:
    """Run the demo until `stopped`; one JSON line on `out` says when it is ready."""
    async with open_stage(port=port, approvals=approvals, fault=fault) as stage:
        out.write(announcement(stage.slack, stage.atlas) + "\n")
        out.flush()
        if browser:
            webbrowser.open(f"{stage.slack.base_url}/")
        await stopped.wait()
