"""The card of a request that waits, its thread, and how it ends."""

import asyncio
from pathlib import Path

from tests.acceptance.approvals.actions import (
    APPROVE,
    DENY,
    GROUP,
    ONE,
    RETRY,
    RINA,
    TWO,
    WITHDRAW,
    ask,
    cancelled,
    click,
    job_of,
    mentions,
    open_approval_environment,
)


async def test_approvers_are_mentioned_once_and_the_requester_in_the_outcome(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, TWO) as env:
        card = await ask(env)
        for user in ("ada", "abe"):
            await click(env, user, card, APPROVE)
        ending = await env.wait_for_outcome(job_of(card))
        messages = env.slack.state.messages("ops")
        posted = [(m["edits"] or [m])[0] for m in messages]

        assert mentions(posted, GROUP) == 1
        assert f"<@{RINA}>" in str(env.slack.state.replies(ending.message)[-1]["blocks"])
        assert "Approved by @Ada and @Abe" in ending.reply
        replies = map(env.slack.state.text_of, env.slack.state.replies(ending.message))
        assert sum("was sent directly" not in reply for reply in replies) == 3
        assert not any(b in str(ending.message["blocks"]) for b in (APPROVE, DENY, WITHDRAW, RETRY))
        assert mentions([ending.message], GROUP) == 0


async def test_concurrent_withdrawal_and_last_approval_have_one_winner(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        acks = await asyncio.gather(
            env.slack.people.clicks("ada", card, APPROVE, stale=True),
            env.slack.people.clicks("rina", card, WITHDRAW, stale=True),
        )
        ending = await env.wait_for_outcome(job_of(card))
        messages = await env.slack.until(lambda: env.ephemerals("ada") + env.ephemerals("rina"))

        assert all(ack.ok for ack in acks)
        assert ending.state in ("withdrawn", "cancelled")
        assert cancelled(env, card) is (ending.state == "cancelled")
        assert len(messages) == 1
