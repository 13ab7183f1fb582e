"""A channel of the settings is archived, or the bot is removed from it."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import RestoreJob
from tests.acceptance.actions import APPROVE, OPS
from tests.acceptance.environment import BotEnvironment, is_card, open_environment, state_of
from tests.acceptance.quarantine.environment import KEEP, deletes, open_quarantine, quarantined
from tests.support.polling import wait_until
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


def copies(env: BotEnvironment, job: RestoreJob, user: str) -> list[Json]:
    """Return the cards of a job in the direct messages of a person, oldest first."""
    messages = env.slack.state.messages(env.slack.state.dm(user))
    return [m for m in messages if is_card(m) and job.id in str(m["blocks"])]


async def copied(env: BotEnvironment, job: RestoreJob, *users: str) -> list[Json]:
    """Return the copy of each person once all have one."""
    await wait_until(lambda: all(copies(env, job, user) for user in users))
    return [copies(env, job, user)[-1] for user in users]


def have_state(env: BotEnvironment, job: RestoreJob, state: str, *users: str) -> bool:
    return all(state_of(copies(env, job, user)[-1]) == state for user in users)


async def test_download_in_an_archived_channel_goes_to_each_approver_and_is_cancelled(
    tmp_path: Path,
) -> None:
    async with open_quarantine(tmp_path) as env:
        env.slack.workspace.channel("ops").is_archived = True
        job = env.start_job()
        (copy, _) = await copied(env, job, "ada", "abe")
        shown_at = time.monotonic()
        text = env.slack.state.text_of(copy)
        assert "Sent to you directly" in text
        assert "[Keep it]" in text
        await shows_reachable(env, 0.0)

        await wait_until(lambda: have_state(env, job, "cancelled", "ada", "abe"))
        assert time.monotonic() - shown_at >= 1.5
        assert deletes(env, job) == 1
        assert len(copies(env, job, "ada")) == len(copies(env, job, "abe")) == 1

        env.slack.workspace.channel("ops").is_archived = False
        new, _ = await quarantined(env)
        assert copies(env, new, "ada") == []
        await shows_reachable(env, 1.0)


async def test_approver_decides_by_the_buttons_of_the_direct_message(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="600") as env:
        env.slack.workspace.channel("ops").is_archived = True
        kept, cancelled = env.start_job(), env.start_job("prod-us")
        (copy,) = await copied(env, kept, "ada")
        await env.slack.people.clicks("ada", copy, KEEP)
        view = await env.wait_for_dialog("ada")
        await env.slack.people.submits("ada", view, {"reason": "quarterly audit"})
        (copy,) = await copied(env, cancelled, "abe")
        await env.slack.people.clicks("abe", copy, APPROVE)

        await wait_until(lambda: have_state(env, kept, "kept", "ada", "abe"))
        await wait_until(lambda: have_state(env, cancelled, "cancelled", "ada", "abe"))
        assert deletes(env, kept) == 0
