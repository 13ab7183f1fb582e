"""The whole bot under a stream of commands, while Slack refreshes, cuts or forgets connections."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.sandbox.slack import FakeSlackServer, Fault
from bot.slack.client import MAX_CONNECTIONS
from tests.acceptance.environment import RUNNING, SLACK_TIMEOUT, open_environment
from tests.support.stream import streaming
from tests.support.timings import SHORT_TIMINGS

if TYPE_CHECKING:
    from pathlib import Path

    from bot.sandbox.atlas import FakeAtlasServer

#: Slack gives an ack three seconds.
SLACK_WAITS = 3.0

#: A bot, and a Slack, for which calls hang longer than a test waits.
HANGING = replace(SHORT_TIMINGS, slack_timeout=60.0)
HANGS = Fault(kind="delay", seconds=60.0)

#: Seconds between two commands.
EVERY = 0.05


async def test_no_command_is_lost_when_the_socket_is_refreshed(tmp_path: Path) -> None:
    """Slack sends over a connection until its close is answered, and repeats nothing."""

    def drops(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
        slack.world.settings = replace(slack.world.settings, lost_envelopes="drop", latency=0.02)

    async with open_environment(tmp_path, before=drops) as env:
        sockets = env.slack.sockets
        await sockets.cut()  # the second connection comes at once
        await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)
        async with streaming(env.slack, every=EVERY) as stream:
            await sockets.disconnect("refresh_requested", grace=1.5)
            await env.slack.until(lambda: sockets.connections == 4, SLACK_TIMEOUT)
            await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)

        assert (stream.unanswered, stream.slowest < SLACK_WAITS) == (0, True)
        assert env.slack.complaints == []


async def test_no_command_is_lost_when_sockets_are_cut_or_half_open(
    tmp_path: Path,
) -> None:
    async with open_environment(tmp_path) as env:
        sockets = env.slack.sockets
        async with streaming(env.slack, every=EVERY) as stream:
            await sockets.cut()
            await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)
            await sockets.cut(count=1)
            await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)
            sockets.half_open(count=1)
            await env.slack.until(lambda: sockets.connections == 1, SLACK_TIMEOUT)
            await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)
            await asyncio.sleep(EVERY)

        away = [ack for ack in stream.acks if ack.error == "dispatch_failed"]
        assert stream.unanswered == len(away)  # only while both were cut there was no way at all
        assert max(stream.gap, stream.slowest) < SLACK_WAITS


async def test_socket_reconnects_while_other_calls_hang(tmp_path: Path) -> None:
    async with open_environment(tmp_path, timings=HANGING) as env:
        sockets = env.slack.sockets
        env.slack.faults.add("views.open", HANGS, 2 * MAX_CONNECTIONS)
        commands = (env.send_command("rina", "prod-eu") for _ in range(2 * MAX_CONNECTIONS))
        await asyncio.gather(*commands)

        await sockets.cut()

        await env.slack.until(lambda: sockets.connections == 2, SLACK_TIMEOUT)


async def test_outcome_is_posted_while_dialog_calls_hang(tmp_path: Path) -> None:
    async with open_environment(tmp_path, timings=HANGING) as env:
        view = await env.open_dialog(RUNNING)
        env.slack.faults.add("views.open", HANGS, 2 * MAX_CONNECTIONS)
        commands = (env.send_command("ada", "prod-eu") for _ in range(2 * MAX_CONNECTIONS))
        await asyncio.gather(*commands)

        await env.slack.people.submits("rina", view, {"reason": "started by mistake"})

        ending = await env.wait_for_outcome(RUNNING[1])

    assert ending.state == "cancelled"
