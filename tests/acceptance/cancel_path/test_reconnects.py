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
#: The times of connections, divided by ten.
TENTHS = replace(
    SHORT_TIMINGS,
    connection_stagger=1.5,
    reconnect_pause=0.1,
    longest_reconnect_pause=1.4,
    second_pause=12.0,
    excess_grace=1.0,
)
HANGS = Fault(kind="delay", seconds=60.0)


async def test_socket_reconnects_while_other_calls_hang(tmp_path: Path) -> None:
    async with open_environment(tmp_path, timings=HANGING) as env:
        sockets = env.slack.sockets
        env.slack.faults.add("views.open", HANGS, 2 * MAX_CONNECTIONS)
        commands = (env.send_command("rina", "prod-eu") for _ in range(2 * MAX_CONNECTIONS))
        await asyncio.gather(*commands)

        await sockets.cut()

        await env.slack.until(lambda: sockets.connections, SLACK_TIMEOUT)


async def test_six_cuts_in_a_minute_leave_at_most_six_registered_connections(
    tmp_path: Path,
) -> None:
    """In a tenth of the time; the fake Slack counts cut connections for three minutes."""
    async with open_environment(tmp_path, timings=TENTHS) as env:
        sockets = env.slack.sockets
        await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)
        for _ in range(6):
            await sockets.cut()
            await asyncio.sleep(1.0)
        await env.slack.until(lambda: sockets.connections, SLACK_TIMEOUT)
        counted = f"cancel_restore_slack_registered_connections {sockets.registered}.0"
        async with asyncio.timeout(SLACK_TIMEOUT):
            while counted not in (await env.get("/metrics"))[1]:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        status, readiness = await env.get("/readyz")

        assert sockets.connections == 1
        assert sockets.registered <= 6
        assert (status, f"(excess: {sockets.registered - 1})" in readiness) == (200, True)


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
