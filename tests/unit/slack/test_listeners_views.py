"""What a submitted dialog leads to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from bot.cancellation.errors import MaybeRecorded, NotRecorded
from bot.cancellation.lifecycle import State
from bot.cancellation.policy import People, Policy
from bot.slack.dialog import views as dialog_views
from bot.slack.placement import Placement
from tests.support.domain import SHOWN
from tests.unit.slack import payloads, samples
from tests.unit.slack.bench import Bench
from tests.unit.slack.fake_slack import LINKS

CLEARED = {"response_action": "clear"}
DIRECTLY = Placement(channel="U0RINA", note="x", because="The bot cannot post here.")
AUDITED = Placement(channel="C0AUDIT", note="x")
ONE = Policy(approvals=1, approvers=People(users=frozenset({"U0ADA"})))


def view(standing: Placement = samples.HERE) -> dict[str, Any]:
    return dialog_views.details(samples.sight(), samples.asked(), Policy(), standing, LINKS)


def words(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


async def test_a_submission_becomes_a_request_and_the_dialog_closes() -> None:
    bench = Bench()
    answer = await bench.send(payloads.submission(view(), reason="wrong cluster"))

    (given,) = bench.desk.submissions
    assert answer.body == CLEARED
    assert (given.key, given.person.id, given.person.team) == ("V1", "U0RINA", "T0HOME")
    assert (given.channel, given.asked_in, given.reason) == ("C0OPS", "C0OPS", "wrong cluster")
    assert given.shown == SHOWN
    assert given.moved_because is None


async def test_the_same_submission_twice_is_one_request() -> None:
    bench = Bench()
    first = await bench.send(payloads.submission(view()))
    second = await bench.send(payloads.submission(view()))

    assert first.body == second.body == CLEARED
    assert len(bench.desk.requests) == 1


@pytest.mark.parametrize(
    ("standing", "where"),
    [(DIRECTLY, "direct messages with the bot"), (AUDITED, "<#C0AUDIT>")],
)
async def test_a_card_that_stands_elsewhere_is_linked(standing: Placement, where: str) -> None:
    bench = Bench()
    answer = await bench.ack(payloads.submission(view(standing)))
    (request,) = bench.desk.requests.values()
    bench.desk.post_card(request, "C0AUDIT", "1700000000.000100")
    await bench.background.drain(1.0)

    assert answer.body["response_action"] == "update"
    assert where in words(answer.body)
    assert "https://shop.slack.com/archives/C0AUDIT/p1700000000000100" in words(bench.shown[-1])


async def test_why_the_card_moved_goes_on_record_with_the_request() -> None:
    bench = Bench()
    await bench.send(payloads.submission(view(DIRECTLY)))

    assert bench.desk.submissions[0].moved_because == "The bot cannot post here."


async def test_the_approvers_of_the_groups_are_counted_at_the_submission() -> None:
    bench = Bench(Policy(approvals=1, approvers=People(groups=frozenset({"S0APPROVE"}))))
    await bench.send(payloads.submission(view()))

    assert bench.desk.submissions[0].approver_members == {"U0ADA", "U0ABE"}


@pytest.mark.parametrize(
    ("policy", "typed", "block"),
    [
        (Policy(require_reason=True), {"reason": "  "}, "reason"),
        (Policy(confirm_by_typing=True), {"typed": "prod-us"}, "typed"),
    ],
)
async def test_what_is_missing_is_said_at_its_input(
    policy: Policy, typed: dict[str, str], block: str
) -> None:
    bench = Bench(policy)
    answer = await bench.send(payloads.submission(view(), **typed))

    assert answer.body["response_action"] == "errors"
    assert list(answer.body["errors"]) == [block]
    assert bench.desk.requests == {}


@pytest.mark.parametrize("fault", [NotRecorded(), MaybeRecorded()])
async def test_what_was_not_recorded_keeps_the_dialog_and_its_inputs(fault: Exception) -> None:
    bench = Bench()
    bench.desk.fault = fault
    answer = await bench.send(payloads.submission(view(), reason="why"))

    assert answer.body == {"response_action": "errors", "errors": {"reason": str(fault)}}


async def test_a_ledger_that_does_not_answer_is_not_waited_for() -> None:
    bench = Bench(patience=0.02)
    bench.desk.gate = asyncio.Event()
    answer = await bench.ack(payloads.submission(view()))
    bench.desk.gate.set()
    await bench.background.drain(1.0)

    assert answer.body["errors"] == {"reason": MaybeRecorded().sentence}
    assert len(bench.desk.requests) == 1


async def test_without_an_answer_about_the_person_nothing_is_recorded() -> None:
    bench = Bench()
    bench.slack.says("users.info", "missing_scope")
    answer = await bench.send(payloads.submission(view()))

    assert "users:read" in answer.body["errors"]["reason"]
    assert bench.desk.submissions == []


async def test_a_job_that_was_taken_meanwhile_names_who_was_first() -> None:
    bench = Bench()
    bench.desk.put(samples.waiting(requester="U0ABE"))
    answer = await bench.send(payloads.submission(view(), view_id="V2"))

    assert answer.body["response_action"] == "update"
    assert "<@U0ABE> asked for this restore job already" in words(answer.body)
    assert "https://shop.slack.com/archives/C0OPS/" in words(answer.body)


async def test_rights_are_checked_again_at_the_submission() -> None:
    bench = Bench(Policy(requesters=People(users=frozenset({"U0ADA"}))))
    answer = await bench.send(payloads.submission(view()))

    assert "may not ask" in words(answer.body)
    assert bench.desk.requests == {}


async def test_the_channel_is_checked_again_at_the_submission() -> None:
    bench = Bench(Policy(channels=frozenset({"C0ONLY"})))
    answer = await bench.send(payloads.submission(view()))

    assert "<#C0ONLY>" in words(answer.body)
    assert bench.desk.submissions == []


@pytest.mark.parametrize("carried", ["", "{}", '{"version": 99}'])
async def test_a_dialog_of_another_version_says_what_to_do(carried: str) -> None:
    bench = Bench()
    answer = await bench.send(payloads.submission(view() | {"private_metadata": carried}))

    assert "type the command again" in words(answer.body)


async def test_a_project_that_is_gone_is_said() -> None:
    bench = Bench()
    elsewhere = samples.asked()
    other = replace(elsewhere, ref=replace(elsewhere.ref, project_id="f" * 24))
    gone = dialog_views.details(samples.sight(), other, Policy(), samples.HERE, LINKS)
    answer = await bench.send(payloads.submission(gone))

    assert "no key for this project" in words(answer.body)


async def test_a_denial_ends_the_request_with_its_reason() -> None:
    bench = Bench(ONE)
    request = bench.desk.put(samples.waiting(approvals=()))
    asking = dialog_views.deny_reason(request.id)
    answer = await bench.send(payloads.submission(asking, user="U0ADA", reason="needed"))

    now = bench.desk.requests[request.id]
    assert answer.body == CLEARED
    assert (now.state, now.outcome.sentence) == (State.DENIED, "needed")


async def test_a_denial_without_the_right_is_refused_in_the_dialog() -> None:
    bench = Bench(ONE)
    request = bench.desk.put(samples.waiting(approvals=()))
    asking = dialog_views.deny_reason(request.id)
    answer = await bench.send(payloads.submission(asking, user="U0ABE", reason="needed"))

    assert "may not approve or deny" in words(answer.body)
    assert bench.desk.requests[request.id].state is State.AWAITING


async def test_a_denial_that_came_second_is_told_what_happened() -> None:
    bench = Bench(ONE)
    request = bench.desk.put(samples.waiting(state=State.EXPIRED))
    asking = dialog_views.deny_reason(request.id)
    answer = await bench.send(payloads.submission(asking, user="U0ADA", reason="needed"))

    assert "was not approved in time" in words(answer.body)


async def test_a_denial_that_was_not_recorded_keeps_what_was_typed() -> None:
    bench = Bench(ONE)
    request = bench.desk.put(samples.waiting(approvals=()))
    bench.desk.fault = NotRecorded()
    asking = dialog_views.deny_reason(request.id)
    answer = await bench.send(payloads.submission(asking, user="U0ADA", reason="needed"))

    assert answer.body == {"response_action": "errors", "errors": {"reason": str(NotRecorded())}}


async def test_a_view_that_we_do_not_know_is_answered() -> None:
    bench = Bench()
    answer = await bench.send(payloads.submission(view() | {"callback_id": "other"}))

    assert "another version" in words(answer.body)


async def test_an_unforeseen_error_is_answered_in_the_dialog_with_its_reference() -> None:
    bench = Bench()
    bench.desk.fault = RuntimeError("a mistake of ours")
    answer = await bench.send(payloads.submission(view()))

    assert answer.status == 200
    assert answer.body["response_action"] == "update"
    assert "Something went wrong" in words(answer.body)
    assert "a mistake" not in words(answer.body)


async def test_what_nobody_sees_of_a_reason_is_not_kept() -> None:
    """PostgreSQL takes no NUL: such a reason could never be recorded."""
    bench = Bench()
    await bench.send(payloads.submission(view(), reason="by\0 mistake"))
    (request,) = bench.desk.requests.values()

    assert request.reason == "by mistake"
