"""A slash command that opens a dialog, until its ack, one at a time, over Socket Mode.

The peer is a minimal Bolt for Python app that acks with a fixed text, in the same run on another
server of the same fake Slack. Median of rounds; p99 of all commands.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bot.sandbox.slack import FakeSlackServer
from tests.benchmarks.environment import (
    CHANNELS,
    CLUSTER,
    STEP_TIMEOUT,
    Options,
    channel_id,
    new_slack,
    open_bot,
)
from tests.benchmarks.results import Figure, median, percentile, ratio
from tests.support.git import ROOT

GOAL = 1.5
HELLO = "hello"
PAUSE = 0.05  #: seconds between two commands, in which the bot fills the dialog


async def measure(options: Options) -> list[Figure]:
    async with AsyncExitStack() as stack:
        servers = {HELLO: await stack.enter_async_context(_hello())}
        jobs: dict[str, str] = {HELLO: "0" * 24}
        for name, tree in options.editions().items():
            env = await stack.enter_async_context(open_bot(tree))
            servers[name], jobs[name] = env.slack, env.start_download().id
        rounds: dict[str, list[list[float]]] = {name: [] for name in servers}
        for number in range(options.pick(1, 6, 20)):
            for name, slack in servers.items():
                acks = await _commands(slack, jobs[name], options.pick(3, 60))
                if number or options.is_quick:  # the first round warms up
                    rounds[name].append(acks)
    medians = {name: [median(acks) for acks in given] for name, given in rounds.items()}
    figures = []
    for name, given in rounds.items():
        every = [1000 * ack for acks in given for ack in acks]
        if name != HELLO:
            goal = GOAL if name == "bot" else None
            share = ratio(medians[name], medians[HELLO])
            figures.append(Figure(f"{name}, ack × hello", share, goal=goal))
        figures.append(Figure(f"{name}, p50", median(every), "ms"))
        figures.append(Figure(f"{name}, p99", percentile(every, 0.99), "ms"))
    return figures


async def _commands(slack: FakeSlackServer, job: str, commands: int) -> list[float]:
    """Return the seconds of each ack."""
    acks = []
    for number in range(commands):
        line = f"/cancel-restore {CLUSTER} {job}"
        ack = await slack.people.types("rina", channel_id(number % CHANNELS), line)
        assert ack.ok, ack
        acks.append(ack.seconds)
        await asyncio.sleep(PAUSE)
    return acks


@asynccontextmanager
async def _hello() -> AsyncIterator[FakeSlackServer]:
    """Run the peer on a fake Slack of its own, and wait until it is connected."""
    async with new_slack() as slack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.bolt_hello"),
            cwd=ROOT,
            env={
                "SLACK_BOT_TOKEN": slack.bot_token,
                "SLACK_APP_TOKEN": slack.app_token,
                "SLACK_API_URL": slack.api_url,
            },
        )
        try:
            await slack.until(lambda: slack.sockets.connections, STEP_TIMEOUT)
            yield slack
        finally:
            process.terminate()
            await process.wait()
