"""The card of a request that waits, its thread, and how it ends."""

import asyncio
import time
from pathlib import Path

from tests.acceptance.approvals.actions import (
    ADA,
    APPROVE,
    BEYOND_TIMEOUT,
    DENY,
    GROUP,
    ONE,
    RETRY,
    RINA,
    TWO,
    WITHDRAW,
    Json,
    ask,
    cancelled,
    click,
    job_of,
    mentions,
    open_approval_environment,
    record_of,
    shows,
)

BUTTONS = (APPROVE, DENY, WITHDRAW, RETRY)


def buttons_of(card: Json) -> dict[str, Json]:
    elements = [e for block in card["blocks"] for e in block.get("elements", ())]
    return {e["action_id"]: e for e in elements if e.get("action_id") in BUTTONS}


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
        assert sum("as a direct message" not in reply for reply in replies) == 3
        assert buttons_of(ending.message) == {}
        assert mentions([ending.message], GROUP) == 0


async def test_expired_request_updates_its_card(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, TWO | {"BOT_APPROVAL_TTL": "1"}) as env:
        card = await ask(env)
        await click(env, "ada", card, APPROVE)
        began = time.monotonic()
        expired = await shows(env, job_of(card), "expired")
        took = time.monotonic() - began
        ending = await env.wait_for_outcome(job_of(card))

        assert took < 10.0
        assert buttons_of(expired) == {}
        assert "@Rina: not approved in time" in ending.reply
        assert "Approved before by @Ada" in ending.reply
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0


async def test_retry_of_a_failed_request_asks_for_approval_again(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        env.atlas.faults.add(BEYOND_TIMEOUT)
        await click(env, "ada", card, APPROVE)
        failed = (await env.wait_for_outcome(job_of(card))).message
        retry = buttons_of(failed)

        assert set(retry) == {RETRY}
        assert retry[RETRY]["confirm"]
        assert (await click(env, "rina", failed, RETRY)).changed_the_card
        assert env.atlas_methods(job_of(card)).count("DELETE") == 1
        assert (await click(env, "ada", card, APPROVE)).changed_the_card
        ending = await env.slack.until(
            lambda: (e := env.outcome(job_of(card))) and e.state == "cancelled" and e
        )
        assert ending
        assert "Approved by @Ada" in ending.reply
    [events] = record_of(tmp_path).values()
    assert [e["actor"] for e in events if e["event"] == "request:approved"] == [ADA, ADA]
    assert [e["actor"] for e in events if e["event"] == "request:retried"] == [RINA]


async def test_concurrent_withdrawal_and_last_approval_have_one_winner(
    tmp_path: Path,
) -> None:
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
