"""The bot while calls of Slack hang: it reconnects, and posts outcomes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.sandbox.atlas import Fault as AtlasFault
from bot.sandbox.atlas import Kind
from bot.sandbox.slack import Fault
from bot.slack.client import MAX_CONNECTIONS
from bot.slack.directory import CURRENT_MAX_AGE
from tests.acceptance.environment import RUNNING, SLACK_TIMEOUT, open_environment
from tests.support.timings import SHORT_TIMINGS

if TYPE_CHECKING:
    from pathlib import Path


#: A bot, and a Slack, for which calls hang longer than a test waits.
HANGING = replace(SHORT_TIMINGS, slack_timeout=60.0)
HANGS = Fault(kind="delay", seconds=60.0)


async def test_socket_reconnects_while_other_calls_hang(tmp_path: Path) -> None:
    async with open_environment(tmp_path, timings=HANGING) as env:
        sockets = env.slack.sockets
        env.slack.faults.add("views.open", HANGS, 2 * MAX_CONNECTIONS)
        commands = (env.send_command("rina", "prod-eu") for _ in range(2 * MAX_CONNECTIONS))
        await asyncio.gather(*commands)

        await sockets.cut()

        await env.slack.until(lambda: sockets.connections, SLACK_TIMEOUT)


async def test_outcome_is_posted_while_dialog_calls_hang(tmp_path: Path) -> None:
    async with open_environment(tmp_path, timings=HANGING) as env:
        view = await env.open_dialog(RUNNING)
        env.slack.faults.add("views.open", HANGS, 2 * MAX_CONNECTIONS)
        commands = (env.send_command("ada", "prod-eu") for _ in range(2 * MAX_CONNECTIONS))
        await asyncio.gather(*commands)

        # After that time the run asks Slack again who the requester is.
        env.atlas.faults.add(
            AtlasFault(kind=Kind.DELAY, path=RUNNING[1], seconds=1.5 * CURRENT_MAX_AGE)
        )

        await env.slack.people.submits("rina", view, {"reason": "started by mistake"})

        ending = await env.wait_for_outcome(RUNNING[1])

    assert ending.state == "cancelled"
