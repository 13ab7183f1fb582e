"""A channel of the settings is archived, or the bot is removed from it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.acceptance.approvals.actions import OPS
from tests.acceptance.environment import BotEnvironment, open_environment
from tests.support.timings import SHORT_TIMINGS

Json = dict[str, Any]

REACHABLE = f'cancel_restore_channel_reachable{{channel="{OPS}"}}'


async def shows_reachable(env: BotEnvironment, value: float) -> None:
    async def shown() -> bool:
        return f"{REACHABLE} {value}" in (await env.get("/metrics"))[1].splitlines()

    async with asyncio.timeout(20):
        while not await shown():  # noqa: ASYNC110 - a page sets no event
            await asyncio.sleep(0.05)


async def test_channel_without_a_post_is_reported_while_it_takes_none(tmp_path: Path) -> None:
    timings = replace(SHORT_TIMINGS, channel_interval=0.2)
    async with open_environment(tmp_path, {"BOT_AUDIT_CHANNEL": OPS}, timings=timings) as env:
        await shows_reachable(env, 1.0)
        env.slack.workspace.channel("ops").is_archived = True
        await shows_reachable(env, 0.0)
        status, body = await env.get("/readyz")
        assert status == 200
        told = json.loads(body)["details"]["channels"]
        assert told == f"The bot cannot post in {OPS}: the channel is archived."

        env.slack.workspace.channel("ops").is_archived = False
        await shows_reachable(env, 1.0)
        assert "details" not in json.loads((await env.get("/readyz"))[1])
