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
    reads,
    record_of,
    shows,
)
from tests.acceptance.environment import is_card, state_of

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


async def test_card_is_edited_at_every_state(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, TWO) as env:
        card = await ask(env)
        await click(env, "abe", card, APPROVE)
        once = await reads(env, card, "(1 of 2)")
        await click(env, "ada", once, APPROVE)
        ending = await env.wait_for_outcome(job_of(card))
        states = [state_of(edit) for edit in ending.message["edits"]]

        assert "Approvals missing* 1" in str(once["blocks"])
        assert states[0] == "awaiting"
        assert ending.state == "cancelled"
        assert len({m["ts"] for m in env.slack.state.messages("ops") if is_card(m)}) == 1


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


async def test_approval_after_the_expiry_does_nothing_before_the_card_shows_it(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, ONE | {"BOT_APPROVAL_TTL": "1"}) as env:
        card = await ask(env)
        await asyncio.sleep(1.0)
        await click(env, "ada", card, APPROVE, stale=True)

        answer = (await env.wait_for_ephemerals("ada", 1))[-1]  # the card may change before it
        assert "run out" in answer or "not approved in time" in answer
        assert "UTC" in answer
        await env.wait_for_outcome(job_of(card))
        assert not cancelled(env, card)


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
