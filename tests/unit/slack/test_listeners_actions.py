"""What a click on a button leads to: a changed card, or a private sentence."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from bot.cancellation.errors import MaybeRecorded, NotRecorded
from bot.cancellation.lifecycle import Approval, Card, Outcome, Request, State
from bot.cancellation.policy import People, Policy
from bot.slack import ids
from bot.slack.card.handlers import UNKNOWN
from tests.support.domain import JOB_ID, NOON, PROJECT_ID, RINA
from tests.unit.slack import payloads, samples
from tests.unit.slack.bench import Bench

ONE = Policy(approvals=1, approvers=People(groups=frozenset({"S0APPROVE"})))
DECISIONS = (ids.APPROVE, ids.WITHDRAW, ids.RETRY)


def waiting(bench: Bench) -> Request:
    return bench.desk.put(samples.waiting(approvals=(), approvals_needed=1))


async def test_an_approvers_click_counts() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    answer = await bench.send(payloads.click(ids.APPROVE, request.id))

    assert answer.status == 200
    assert bench.desk.requests[request.id].state is State.APPROVED
    assert bench.private == []


async def test_the_ack_waits_for_the_ledger() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    bench.desk.gate = asyncio.Event()
    acking = asyncio.create_task(bench.ack(payloads.click(ids.APPROVE, request.id)))
    done, _ = await asyncio.wait({acking}, timeout=0.05)
    bench.desk.gate.set()
    await acking

    assert not done
    assert bench.desk.requests[request.id].state is State.APPROVED


@pytest.mark.parametrize(
    ("user", "team"), [("U0RINA", "T0HOME"), ("U0BOB", "T0HOME"), ("U0ADA", "T0OTHER")]
)
async def test_a_click_without_the_right_changes_nothing_and_says_who_has_it(
    user: str, team: str
) -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    answer = await bench.send(payloads.click(ids.APPROVE, request.id, user=user, team=team))

    assert answer.status == 200
    assert bench.desk.requests[request.id] == request
    assert len(bench.private) == 1
    assert "<!subteam^S0APPROVE>" in bench.private[0]


async def test_the_same_approver_counts_once() -> None:
    bench = Bench(replace(ONE, approvals=2))
    given = (Approval(user="U0ADA", at=NOON),)
    request = bench.desk.put(samples.waiting(approvals=given))
    await bench.send(payloads.click(ids.APPROVE, request.id))

    assert "approved this request already" in bench.private[0]
    assert bench.desk.requests[request.id] == request


async def test_the_requester_withdraws_without_any_question_to_slack() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    await bench.send(payloads.click(ids.WITHDRAW, request.id, user=RINA.id))

    assert bench.desk.requests[request.id].state is State.WITHDRAWN
    assert bench.slack.calls == []


async def test_nobody_else_withdraws() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    await bench.send(payloads.click(ids.WITHDRAW, request.id))

    assert f"That is <@{RINA.id}>" in bench.private[0]
    assert bench.desk.requests[request.id] == request


async def test_a_failed_request_can_be_tried_again() -> None:
    bench = Bench()
    request = bench.desk.put(samples.request(state=State.FAILED))
    await bench.send(payloads.click(ids.RETRY, request.id, user=RINA.id))

    assert bench.desk.requests[request.id].state is State.APPROVED


@pytest.mark.parametrize("action", [*DECISIONS, ids.DENY])
@pytest.mark.parametrize("state", sorted({State.DENIED, State.CANCELLED, State.EXPIRED}))
async def test_a_click_after_the_end_says_what_happened_and_when(action: str, state: State) -> None:
    bench = Bench(ONE)
    ended = samples.request(state=state, outcome=Outcome(by="U0ABE"))
    bench.desk.put(ended)
    answer = await bench.send(payloads.click(action, ended.id))

    assert answer.status == 200
    assert "<@U0ABE>" in bench.private[0]
    assert "!date^" in bench.private[0]
    assert bench.desk.requests[ended.id] == ended


async def test_a_stale_card_is_drawn_anew_at_the_click() -> None:
    bench = Bench(ONE)
    ended = bench.desk.put(samples.request(state=State.DENIED))
    await bench.send(payloads.click(ids.APPROVE, ended.id))

    (drawn,) = bench.slack.called("chat.update")
    assert drawn["ts"] == "1700000000.000100"
    assert "Denied" in json.dumps(drawn["blocks"])


async def test_a_second_copy_of_a_card_points_to_the_first() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    await bench.send(payloads.click(ids.APPROVE, request.id, ts="1700000009.000100"))

    (drawn,) = bench.slack.called("chat.update")
    assert drawn["ts"] == "1700000009.000100"
    assert "posted twice" in json.dumps(drawn["blocks"])


async def test_a_card_whose_place_is_not_noted_yet_is_left_alone() -> None:
    bench = Bench(ONE)
    request = bench.desk.put(samples.waiting(approvals=(), approvals_needed=1, card=None))
    await bench.send(payloads.click(ids.APPROVE, request.id))

    assert bench.slack.called("chat.update") == []


async def test_a_copy_that_cannot_be_changed_does_no_harm() -> None:
    bench = Bench(ONE)
    ended = samples.request(state=State.DENIED, card=Card(channel="C0OPS", ts="1.1"))
    bench.desk.put(ended)
    bench.slack.says("chat.update", "message_not_found")
    await bench.send(payloads.click(ids.APPROVE, ended.id))

    assert len(bench.private) == 1


@pytest.mark.parametrize("action", [*DECISIONS, ids.DENY])
async def test_a_request_that_is_not_there_is_said(action: str) -> None:
    bench = Bench(ONE)
    answer = await bench.send(payloads.click(action, "nosuch"))

    assert answer.status == 200
    if action == ids.DENY:
        assert bench.shown[0]["callback_id"] == ids.DENY_DIALOG
    else:
        assert "not in the ledger" in bench.private[0]


async def test_what_was_not_recorded_is_said() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    bench.desk.fault = NotRecorded()
    await bench.send(payloads.click(ids.APPROVE, request.id))

    assert bench.private == [NotRecorded().sentence]


async def test_a_ledger_that_does_not_answer_is_not_waited_for_and_the_click_counts_later() -> None:
    bench = Bench(ONE, patience=0.02)
    request = waiting(bench)
    bench.desk.gate = asyncio.Event()
    answer = await bench.ack(payloads.click(ids.APPROVE, request.id))
    bench.desk.gate.set()
    await bench.background.drain(1.0)

    assert answer.status == 200
    assert bench.private == [MaybeRecorded().sentence]
    assert bench.desk.requests[request.id].state is State.APPROVED


@pytest.mark.parametrize("action", [ids.APPROVE, ids.DENY])
async def test_without_an_answer_about_groups_nothing_is_decided(action: str) -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    bench.slack.says("usergroups.users.list", "plan_upgrade_required")
    await bench.send(payloads.click(action, request.id))

    assert "no user groups" in bench.private[0]
    assert bench.desk.requests[request.id] == request
    assert bench.shown == []


async def test_denying_asks_for_the_reason_in_a_dialog() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    await bench.send(payloads.click(ids.DENY, request.id))

    (view,) = bench.shown
    assert view["callback_id"] == ids.DENY_DIALOG
    assert view["private_metadata"] == request.id
    assert [b["block_id"] for b in view["blocks"] if b["type"] == "input"] == ["reason"]


async def test_who_may_not_deny_is_told_and_asked_nothing() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    await bench.send(payloads.click(ids.DENY, request.id, user="U0BOB"))

    assert "may not approve or deny" in bench.private[0]
    assert bench.shown == []


async def test_a_denial_whose_trigger_is_lost_is_said() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    bench.slack.says("views.open", "expired_trigger_id")
    await bench.send(payloads.click(ids.DENY, request.id))

    assert "could not be opened in time" in bench.private[0]


async def test_a_denial_without_a_trigger_is_said_and_opens_nothing() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    await bench.send(payloads.click(ids.DENY, request.id) | {"trigger_id": ""})

    assert "could not be opened in time" in bench.private[0]
    assert bench.slack.called("views.open") == []


async def test_an_open_button_opens_the_dialog_of_its_job() -> None:
    bench = Bench()
    value = f"{PROJECT_ID}/prod-eu {JOB_ID}"
    await bench.send(payloads.click(ids.OPEN, value))

    assert bench.desk.looked_up == [samples.asked().ref]
    assert bench.shown[-1]["submit"]["text"] == "Cancel the job"


@pytest.mark.parametrize("value", ["", "nonsense", f"{'f' * 24}/prod-eu {JOB_ID}"])
async def test_an_open_button_that_names_no_job_of_ours_is_answered(value: str) -> None:
    bench = Bench()
    await bench.send(payloads.click(ids.OPEN, value))

    assert len(bench.private) == 1
    assert bench.shown == []


async def test_try_again_in_a_dialog_of_another_version_is_answered() -> None:
    bench = Bench()
    await bench.send(payloads.view_click(ids.TRY_AGAIN, {"private_metadata": "{}"}))

    assert "type the command again" in bench.slack.called("chat.postMessage")[0]["text"]


async def test_a_button_that_we_do_not_know_is_answered() -> None:
    bench = Bench()
    answer = await bench.send(payloads.click("cancel_restore_new", "x"))

    assert answer.status == 200
    assert bench.private == [UNKNOWN]


async def test_a_button_that_only_opens_a_page_needs_no_word() -> None:
    bench = Bench()
    answer = await bench.send(payloads.click(ids.ATLAS_LINK, ""))

    assert answer.status == 200
    assert bench.private == []


async def test_an_unforeseen_error_is_told_where_the_person_is() -> None:
    bench = Bench(ONE)
    request = waiting(bench)
    bench.desk.fault = RuntimeError("a mistake of ours")
    answer = await bench.send(payloads.click(ids.APPROVE, request.id))

    assert answer.status == 200
    assert "Something went wrong" in bench.private[0]
    assert "a mistake" not in bench.private[0]
