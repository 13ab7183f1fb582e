"""A channel of the settings is archived, or the bot is removed from it."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import RestoreJob
from bot.sandbox.slack import Fault
from bot.sandbox.slack.workspace import Channel
from tests.acceptance.approvals.actions import ABE, ADA, APPROVE, OPS
from tests.acceptance.environment import BotEnvironment, is_card, open_environment, state_of
from tests.acceptance.quarantine.environment import KEEP, deletes, open_quarantine, quarantined
from tests.support.environ import bot_environ
from tests.support.polling import wait_until
from tests.support.process import run_command
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


async def test_card_that_slack_refuses_with_an_unknown_code_goes_to_each_approver(
    tmp_path: Path,
) -> None:
    async with open_quarantine(tmp_path) as env:
        # Once with its blocks, once with its metadata, once as plain text.
        env.slack.faults.add("chat.postMessage", Fault(kind="error", code="new_code"), times=3)
        await copied(env, env.start_job(), "ada", "abe")


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


async def test_grace_time_begins_again_with_the_copy_when_the_channel_is_archived_later(
    tmp_path: Path,
) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="4") as env:
        job, _ = await quarantined(env)
        await asyncio.sleep(2.0)
        env.slack.workspace.channel("ops").is_archived = True
        await copied(env, job, "ada", "abe")
        copied_at = time.monotonic()

        await wait_until(lambda: deletes(env, job))
        assert time.monotonic() - copied_at >= 3.5
        await wait_until(lambda: have_state(env, job, "cancelled", "ada", "abe"))


async def test_removal_from_a_private_channel_sends_the_card_to_the_audit_channel_and_approvers(
    tmp_path: Path,
) -> None:
    audit = "C0AUDIT001"
    async with open_quarantine(tmp_path, BOT_AUDIT_CHANNEL=audit) as env:
        bot = env.slack.workspace.app.bot_user
        env.slack.workspace.add(Channel(id=audit, name="audit", members={bot, ADA}))
        ops = env.slack.workspace.channel("ops")
        ops.kind = "private"
        ops.members.discard(bot)
        job = env.start_job()
        await copied(env, job, "ada", "abe")

        outcome = await env.wait_for_outcome(job.id, "audit")
        assert outcome.state == "cancelled"
        replies = env.slack.state.replies(outcome.message)
        assert any("is cancelled. Atlas confirms" in env.slack.state.text_of(r) for r in replies)
        await wait_until(lambda: have_state(env, job, "cancelled", "ada", "abe"))


async def test_without_named_approvers_nothing_is_cancelled_and_readyz_says_why(
    tmp_path: Path,
) -> None:
    async with open_quarantine(tmp_path, BOT_APPROVERS="*", BOT_QUARANTINE_GRACE="1") as env:
        env.slack.workspace.channel("ops").is_archived = True
        job = env.start_job()
        await shows_reachable(env, 0.0)
        await asyncio.sleep(3.0)
        assert deletes(env, job) == 0
        _, body = await env.get("/readyz")
        told = json.loads(body)["details"]["channels"]
        assert "name no approver of" in told

        env.slack.workspace.channel("ops").is_archived = False
        outcome = await env.wait_for_outcome(job.id)
        assert outcome.state == "cancelled"
        assert "name no approver" in outcome.card


async def test_request_of_the_command_line_reaches_approvers_without_its_channel(
    tmp_path: Path,
) -> None:
    environ = {"BOT_AUDIT_CHANNEL": OPS, "BOT_APPROVALS": "1", "BOT_APPROVERS": f"{ADA},{ABE}"}
    async with open_environment(tmp_path, {**environ}) as env:
        env.slack.workspace.channel("ops").is_archived = True
        job = env.start_job()
        variables = bot_environ(env.slack, env.atlas, f"sqlite:///{tmp_path}/bot.db")
        arguments = ("cancel", "prod-eu", job.id, "--reason", "by mistake", "--yes")
        ran = await run_command(*arguments, **variables | environ)
        assert ran.code == 3, ran.err

        (copy,) = await copied(env, job, "ada")
        await env.slack.people.clicks("ada", copy, APPROVE)
        await wait_until(lambda: have_state(env, job, "cancelled", "ada", "abe"))
