"""The card of a request that waits, its thread, and how it ends."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.sandbox.atlas.jobs import DeliveryType, RestoreJob, RestoreTarget
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
    deny,
    job_of,
    mentions,
    open_approval_environment,
    reads,
    record_of,
    request_of,
    shows,
)
from tests.acceptance.environment import is_card, state_of

BUTTONS = (APPROVE, DENY, WITHDRAW, RETRY)


def buttons_of(card: Json) -> dict[str, Json]:
    elements = [e for block in card["blocks"] for e in block.get("elements", ())]
    return {e["action_id"]: e for e in elements if e.get("action_id") in BUTTONS}


async def test_card_shows_job_reason_requester_quorum_and_expiry(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, TWO) as env:
        card = await ask(env)
        text = env.slack.state.text_of(card).replace("*", "")
        job = env.atlas.world.job(job_of(card))
        until = int(time.time()) + 1800
        tokens = [int(t.partition("^")[0]) for t in str(card["blocks"]).split("<!date^")[1:]]

        for part in ("shop-prod", "prod-eu", job.id, job.snapshot_id, "started by mistake"):
            assert part in text
        assert "Asked by @Rina" in text
        assert "Approved by nobody yet (0 of 2)" in text
        assert "Approvals missing 2, until" in text
        assert any(abs(token - until) < 15 for token in tokens)
        assert "May approve @approvers" in text
        assert card["metadata"]["event_type"] == "cancel_restore"
        assert set(card["metadata"]["event_payload"]) == {"request", "state"}


async def test_card_shows_the_same_details_as_the_dialog(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        dialog = await env.open_dialog(env.new_job())
        shown = {f["text"] for b in dialog["blocks"] for f in b.get("fields", ())}
        await env.slack.people.submits("rina", dialog, {"reason": "wrong cluster"})
        [card] = await env.slack.until(lambda: env.slack.state.messages("ops"))
        repeated = {f["text"] for b in card["blocks"] for f in b.get("fields", ())}

        # A card has the state of the link at the time of the request.
        dated = {text.replace(" when asked*", "*") for text in repeated}
        assert {text.partition("\n")[0] for text in shown - dated} == {"*State*"}
        assert "1 other person must approve first: @approvers." in env.slack.state.text_of(dialog)


async def test_buttons_carry_the_request_id_and_ask_for_confirmation(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        buttons = buttons_of(card)

        assert set(buttons) == {APPROVE, DENY, WITHDRAW}
        assert {b["value"] for b in buttons.values()} == {request_of(card)}
        assert buttons[APPROVE]["confirm"]
        assert buttons[WITHDRAW]["confirm"]
        # The dialog that asks for the reason is the question before a denial.
        dialog = (await click(env, "ada", card, DENY)).dialog
        assert dialog is not None
        assert dialog["callback_id"] == "cancel_restore_deny_reason"
        assert "reason" in {block["block_id"] for block in dialog["blocks"]}
        await env.slack.people.closes("ada")
        assert state_of(await shows(env, job_of(card), "awaiting")) == "awaiting"


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
        assert len(env.slack.state.replies(ending.message)) == 3
        assert buttons_of(ending.message) == {}
        assert mentions([ending.message], GROUP) == 0


async def test_approvers_given_by_id_are_mentioned(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE | {"BOT_APPROVERS": ADA}) as env:
        card = await ask(env)
        await click(env, "ada", card, APPROVE)
        await env.wait_for_outcome(job_of(card))
        posted = [(m["edits"] or [m])[0] for m in env.slack.state.messages("ops") if is_card(m)]

        assert mentions(posted, ADA) == 1


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


async def test_denial_shows_who_denied_and_the_reason(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        denied = await deny(env, "abe", card, "the auditors <!channel> need it")
        ending = await env.wait_for_outcome(job_of(card))

        assert "by @Abe" in ending.card
        assert "the auditors <!channel> need it" in ending.card
        assert "@Rina: denied by @Abe" in ending.reply
        assert "<!channel>" not in str(denied["blocks"])
        assert buttons_of(denied) == {}
        assert not cancelled(env, card)


async def test_second_of_two_denials_gets_an_error_in_its_dialog(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        first = (await click(env, "ada", card, DENY)).dialog
        second = (await click(env, "abe", card, DENY)).dialog
        await env.slack.people.submits("ada", first, {"reason": "no"})
        await env.slack.people.submits("abe", second, {"reason": "no, too"})
        shown = env.slack.state.view_of("abe")

        assert env.slack.state.view_of("ada") is None
        assert shown is not None
        assert "This request was denied by @Ada" in env.slack.state.text_of(shown)


async def test_requester_withdraws_the_request(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        answer = await click(env, "rina", card, WITHDRAW)
        ending = await env.wait_for_outcome(job_of(card))

        assert answer.changed_the_card
        assert ending.state == "withdrawn"
        assert "@Rina withdrew the request" in ending.reply
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0

        again = await env.open_dialog(("prod-eu", job_of(card)))
        assert again["submit"]["text"] == "Cancel the job"


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


CHANGES: dict[str, Callable[[RestoreJob], None]] = {
    "type": lambda job: setattr(job, "delivery_type", DeliveryType.AUTOMATED),
    "snapshot": lambda job: setattr(job, "snapshot_id", "f" * 24),
    "target": lambda job: setattr(
        job, "target", RestoreTarget(cluster="prod-us", group="5" * 24, item="x")
    ),
}

STATES: dict[str, Callable[[RestoreJob], None]] = {
    "cancelled": lambda job: job.cancel(),
    "expired": lambda job: job.expire(),
    "failed": lambda job: job.fail(),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_job_that_differs_from_the_shown_one_is_not_cancelled(
    tmp_path: Path, change: str
) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        CHANGES[change](env.atlas.world.job(job_of(card)))
        await click(env, "ada", card, APPROVE)
        ending = await env.wait_for_outcome(job_of(card))

        assert ending.state == "changed"
        assert "@Rina" in ending.reply
        assert "Approved by @Ada" in ending.reply
        assert "To ask again" in ending.reply
        assert buttons_of(ending.message) == {}
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0


@pytest.mark.parametrize("change", STATES)
async def test_job_that_ends_before_approval_gives_outcome_over(
    tmp_path: Path, change: str
) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        STATES[change](env.atlas.world.job(job_of(card)))
        await click(env, "ada", card, APPROVE)
        ending = await env.wait_for_outcome(job_of(card))

        assert ending.state == "over"
        assert "@Rina" in ending.reply
        assert "Approved by @Ada" in ending.reply
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0


async def test_link_that_becomes_live_does_not_count_as_a_change(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        env.atlas.world.job(job_of(card)).release(env.atlas.world.job(job_of(card)).created_at)
        await click(env, "ada", card, APPROVE)

        assert (await env.wait_for_outcome(job_of(card))).state == "cancelled"


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


async def test_retry_after_the_expiry_asks_for_approval_again(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE | {"BOT_APPROVAL_TTL": "1"}) as env:
        card = await ask(env)
        env.atlas.faults.add(BEYOND_TIMEOUT)
        await click(env, "ada", card, APPROVE)
        failed = (await env.wait_for_outcome(job_of(card))).message
        await asyncio.sleep(1.0)

        assert (await click(env, "rina", failed, RETRY)).changed_the_card
        assert APPROVE in buttons_of(env.slack.state.message("ops", card["ts"]) or {})
        assert env.atlas_methods(job_of(card)).count("DELETE") == 1


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
