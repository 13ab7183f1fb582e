"""`kill -9` after a person's action: it counts once, and its message can still be used."""

import asyncio

import pytest

from bot.sandbox.slack import Settings
from tests.acceptance.durability.concurrency import run_concurrently
from tests.acceptance.durability.conftest import NewDatabase
from tests.acceptance.durability.crash_points import (
    CRASH_POINTS,
    POST,
    after_slack_took,
    kill_at,
    restart_and_wait_for_outcome,
)
from tests.acceptance.durability.environment import ProcessEnvironment, opened
from tests.acceptance.environment import OUTCOME_TIMEOUT, state_of


@pytest.mark.timeout(300)
async def test_acknowledged_action_survives_a_kill(new_database: NewDatabase) -> None:
    async def approval() -> None:
        async with opened(await new_database(), approvals=1) as env:
            await env.start()
            job = await env.request_new_job("rina")
            ack = await env.slack.people.clicks(
                "ada", await env.wait_for_card(job), "cancel_restore_approve"
            )
            env.bot.kill()
            assert ack.ok
            await restart_and_wait_for_outcome(env)

    async def waiting() -> None:
        """A waiting request goes on waiting, and the buttons of its old card work."""
        async with opened(await new_database(), approvals=1) as env:
            await env.start()
            job = await env.request_new_job("rina")
            card = await env.wait_for_card(job)
            env.bot.kill()
            await env.start()
            ack = await env.slack.people.clicks("ada", card, "cancel_restore_approve")
            assert ack.ok
            await env.wait_for_outcomes()
            await env.check_outcomes()

    async def over_http() -> None:
        """In HTTP mode, with the audit log verified as an operator would."""
        async with opened(await new_database(), mode="http") as env:
            await env.start()
            assert await kill_at(env, CRASH_POINTS["the DELETE has its effect and no answer"])
            await restart_and_wait_for_outcome(env)
            await env.run_audit_verify()

    await run_concurrently(
        {
            "the approval is acknowledged": approval(),
            "it waits for approval": waiting(),
            "Slack posts to one address": over_http(),
        }
    )


async def test_duplicate_card_is_settled_at_its_first_click(on_sqlite: str) -> None:
    settings = Settings(client_msg_id="ignore")
    async with opened(on_sqlite, approvals=1, settings=settings) as env:
        await env.start()
        job = env.new_job_id()
        await env.open_dialog_of("rina", job)
        dying = asyncio.create_task(after_slack_took(POST)(env, job))
        await asyncio.sleep(0)
        await env.submit_dialog("rina", job)
        await asyncio.wait_for(dying, 20)
        await env.start()
        await env.slack.until(lambda: len(env.cards(job)) == 2, OUTCOME_TIMEOUT)
        stray, card = env.cards(job)

        ack = await env.slack.people.clicks("ada", stray, "cancel_restore_approve")

        assert ack.ok
        await env.slack.until(lambda: env.has_outcome(job))
        settled = await env.slack.until(lambda: _settled(env, stray["ts"]))
        assert settled
        assert [state_of(each) for each in env.cards(job) if each["ts"] == card["ts"]] == [
            "cancelled"
        ]
        env.check_deletes(job)


def _settled(env: ProcessEnvironment, ts: str) -> bool:
    """Whether a message has no button left that decides."""
    message = env.slack.state.message("ops", ts)
    return message is not None and "cancel_restore_approve" not in str(message["blocks"])
