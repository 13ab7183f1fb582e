"""The listeners of submitted dialogs."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from bot.cancellation.errors import MaybeRecorded, NotCancellableNow, NotRecorded
from bot.cancellation.lifecycle import State
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import Policy
from bot.slack import ids
from bot.slack.channels import Placement
from bot.slack.dialog import views as dialog_views
from bot.slack.errors import DEFAULT_RETRY_AFTER
from tests.support.domain import an_ask
from tests.support.service import OPEN_TO_ALL
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import HOME
from tests.unit.slack.harness import BoltHarness, NewBolt

CLEARED = {"response_action": "clear"}
DIRECTLY = Placement(channel="U0RINA", note="x")
AUDITED = Placement(channel="C0AUDIT", note="x")
IN_GROUP = People(groups=frozenset({"S0APPROVE"}))
ONE = Policy(approvals=1, approvers=People(users=frozenset({"U0ADA"})))


def view(
    standing: Placement = samples.HERE, policy: Policy = OPEN_TO_ALL, *, may_act_alone: bool = False
) -> dict[str, Any]:
    return samples.details(policy, standing, may_act_alone=may_act_alone)


def words(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


async def test_submission_creates_a_request_and_closes_the_dialog(bolt: BoltHarness) -> None:
    answer = await bolt.send(payloads.submission(view(), reason="wrong cluster"))
    (given,) = await bolt.requests()
    assert answer.body == CLEARED
    assert (given.key, given.requester, given.team) == ("V1", "U0RINA", "T0HOME")
    assert given.channel == "C0OPS"
    assert given.ask == an_ask()


async def test_repeated_submission_creates_one_request(bolt: BoltHarness) -> None:
    first = await bolt.send(payloads.submission(view()))
    second = await bolt.send(payloads.submission(view()))

    assert first.body == second.body == CLEARED
    assert len(await bolt.requests()) == 1


@pytest.mark.parametrize(
    ("standing", "where"), [(DIRECTLY, "direct messages with the bot"), (AUDITED, "<#C0AUDIT>")]
)
async def test_card_in_another_channel_is_linked(
    new_bolt: NewBolt, standing: Placement, where: str
) -> None:
    posted = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await posted.wait()

    bolt = new_bolt(sleep=sleep)
    answer = await bolt.ack(payloads.submission(view(standing)))
    (request,) = await bolt.requests()
    await bolt.note_card(request, "C0AUDIT", "1700000000.000100")
    posted.set()
    await bolt.finish()

    assert answer.body["response_action"] == "update"
    assert where in words(answer.body)
    assert "https://shop.slack.com/archives/C0AUDIT/p1700000000000100" in words(bolt.shown[-1])


async def test_members_of_approver_groups_are_counted_at_the_submission(new_bolt: NewBolt) -> None:
    group = People(groups=frozenset({"S0APPROVE"}))  # of two members
    enough, too_few = (new_bolt(Policy(approvals=each, approvers=group)) for each in (2, 3))
    accepted = await enough.send(payloads.submission(view()))
    refused = await too_few.send(payloads.submission(view()))

    assert accepted.body == CLEARED
    assert "only 2 could give one" in words(refused.body)
    assert await too_few.requests() == []


@pytest.mark.parametrize(
    ("policy", "typed", "block"),
    [
        (Policy(require_reason=True), {"reason": "  "}, "reason"),
        (Policy(confirm_by_typing=True), {"typed": "prod-us"}, "typed"),
    ],
)
async def test_missing_input_is_reported_at_its_block_without_a_read_of_groups(
    new_bolt: NewBolt, policy: Policy, typed: dict[str, str], block: str
) -> None:
    bolt = new_bolt(replace(policy, requesters=IN_GROUP))
    answer = await bolt.send(payloads.submission(view(policy=policy), **typed))

    assert answer.body["response_action"] == "errors"
    assert list(answer.body["errors"]) == [block]
    assert bolt.slack.calls == []
    assert await bolt.requests() == []


async def test_dialog_without_the_input_of_a_new_rule_can_be_opened_again(
    new_bolt: NewBolt,
) -> None:
    """The projects file may be read again while a dialog is open."""
    bolt = new_bolt(Policy(confirm_by_typing=True))
    answer = await bolt.send(payloads.submission(view(policy=Policy())))

    assert answer.body["response_action"] == "update"
    assert "The rules for this job changed" in words(answer.body)
    shown = answer.body["view"] | {"id": "V1"}
    again = payloads.click(ids.TRY_AGAIN, "", user="U0RINA") | {"view": shown}
    await bolt.send(again)
    assert ids.TYPED in [block.get("block_id") for block in bolt.shown[-1]["blocks"]]
    assert await bolt.requests() == []


async def test_submission_without_the_box_names_it_where_a_request_waits(
    new_bolt: NewBolt,
) -> None:
    policy = replace(ONE, break_glass=People(users=frozenset({"U0RINA"})))
    bolt = new_bolt(policy)
    await bolt.insert(samples.waiting(requester="U0ABE"))
    answer = await bolt.send(
        payloads.submission(view(policy=policy, may_act_alone=True), view_id="V2")
    )

    assert list(answer.body["errors"]) == [ids.ALONE]
    assert "Check the box to cancel without approval" in answer.body["errors"][ids.ALONE]


async def test_submission_for_a_job_that_cannot_be_cancelled_is_refused(bolt: BoltHarness) -> None:
    answer = await bolt.send(payloads.submission(samples.details(**samples.AUTOMATED)))

    assert str(NotCancellableNow()) in words(answer.body)
    assert await bolt.requests() == []


@pytest.mark.parametrize("fault", [NotRecorded(), MaybeRecorded()])
async def test_submission_that_was_not_recorded_keeps_the_dialog_open(
    bolt: BoltHarness, fault: Exception
) -> None:
    bolt.database.write_error = fault
    answer = await bolt.send(payloads.submission(view(), reason="why"))

    assert answer.body == {"response_action": "errors", "errors": {"reason": str(fault)}}


async def test_slow_database_is_reported_in_the_dialog_as_uncertain(new_bolt: NewBolt) -> None:
    bolt = new_bolt(ack_timeout=0.02)
    bolt.database.gate = asyncio.Event()
    answer = await bolt.ack(payloads.submission(view()))
    bolt.database.gate.set()
    await bolt.finish()

    assert answer.body["errors"] == {"reason": str(MaybeRecorded())}
    assert len(await bolt.requests()) == 1


async def test_unreadable_user_blocks_the_submission(bolt: BoltHarness) -> None:
    bolt.slack.respond("users.info", "missing_scope")
    answer = await bolt.send(payloads.submission(view()))

    assert "users:read" in answer.body["errors"]["reason"]
    assert await bolt.requests() == []


ONE_CHANNEL = Policy(channels=frozenset({"C0ONLY"}))


async def test_submission_for_a_taken_job_names_the_first_requester(bolt: BoltHarness) -> None:
    await bolt.insert(samples.waiting(requester="U0ABE", state=State.APPROVED))
    answer = await bolt.send(payloads.submission(view(), view_id="V2"))

    assert answer.body["response_action"] == "update"
    assert "*Download link* expected" in words(answer.body)
    assert "<@U0ABE> asked to cancel this download already" in words(answer.body)
    assert "https://shop.slack.com/archives/C0OPS/" in words(answer.body)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (replace(ONE_CHANNEL, requesters=People(users=frozenset({"U0ADA"}))), "may not ask"),
        (ONE_CHANNEL, "<#C0ONLY>"),
    ],
)
async def test_rights_and_channel_are_checked_again_at_the_submission(
    new_bolt: NewBolt, policy: Policy, sentence: str
) -> None:
    bolt = new_bolt(policy)
    answer = await bolt.send(payloads.submission(view()))

    assert sentence in words(answer.body)
    assert await bolt.requests() == []


@pytest.mark.parametrize("carried", ["", "{}", '{"version": 99}'])
async def test_dialog_of_another_version_is_refused_with_advice(
    bolt: BoltHarness, carried: str
) -> None:
    answer = await bolt.send(payloads.submission(view() | {"private_metadata": carried}))

    assert "type the command again" in words(answer.body)


async def test_denial_ends_the_request_with_its_reason(new_bolt: NewBolt) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.waiting(approvals=()))
    asking = dialog_views.ask_reason(ids.DENY_DIALOG, request.id)
    answer = await bolt.send(payloads.submission(asking, user="U0ADA", reason="needed"))
    now = await bolt.request(request.id)

    assert answer.body == CLEARED
    assert (now.state, now.outcome.sentence) == (State.DENIED, "needed")


ADA = {"id": "U0ADA", "team_id": HOME}


@pytest.mark.parametrize("dialog", [ids.DENY_DIALOG, ids.KEEP_DIALOG])
@pytest.mark.parametrize(
    ("approvers", "now", "sentence"),
    [
        (EVERYONE, ("users.info", {"user": ADA | {"is_restricted": True}}), "You may not"),
        (ONE.approvers, ("users.info", {"user": ADA | {"deleted": True}}), "You may not"),
        (IN_GROUP, ("usergroups.users.list", "ratelimited"), "Try again in a moment"),
    ],
)
async def test_decision_of_who_was_an_approver_a_second_ago_does_not_count(
    new_bolt: NewBolt, dialog: str, approvers: People, now: tuple[str, Any], sentence: str
) -> None:
    bolt = new_bolt(replace(ONE, approvers=approvers))
    by_bot = {"state": State.QUARANTINED, "requester": "", "reason": ""}
    action, own = (ids.KEEP, by_bot) if dialog == ids.KEEP_DIALOG else (ids.DENY, {})
    request = await bolt.insert(samples.waiting(approvals=(), **own))
    bolt.slack.respond("users.info", {"user": ADA})
    await bolt.send(payloads.click(action, request.id, user="U0ADA"))
    bolt.clock.advance(1)
    bolt.slack.respond(*now)
    submission = payloads.submission(bolt.shown[0], user="U0ADA", reason="needed")
    answer = await bolt.send(submission)

    assert sentence in words(answer.body)
    assert await bolt.request(request.id) == request
    assert len(bolt.slack.called("users.info")) == 2


async def test_keep_waits_until_slack_gives_the_email_of_the_approver(new_bolt: NewBolt) -> None:
    bolt = new_bolt(Policy(approvers=People(users=frozenset({"U0ADA"}))))
    own = samples.waiting(state=State.QUARANTINED, requester="", reason="", approvals=())
    request = await bolt.insert(own)
    asking = dialog_views.ask_reason(ids.KEEP_DIALOG, request.id)
    bolt.slack.respond("users.info", "ratelimited", "fatal_error")
    states = []
    for _ in range(3):
        answer = await bolt.send(payloads.submission(asking, user="U0ADA", reason="needed"))
        states.append((await bolt.request(request.id)).state)
        bolt.clock.advance(DEFAULT_RETRY_AFTER)
        if states[-1] is State.QUARANTINED:
            assert "whether you started this download" in answer.body["errors"][ids.REASON]
            assert "Try again" in answer.body["errors"][ids.REASON]

    assert states == [State.QUARANTINED, State.QUARANTINED, State.KEPT]


@pytest.mark.parametrize("user", ["U0RINA", "U0ABE"])
async def test_quarantine_is_shown_to_who_may_not_act_alone(new_bolt: NewBolt, user: str) -> None:
    bolt = new_bolt(replace(ONE, break_glass=People(users=frozenset({"U0RINA"}))))
    own = samples.waiting(state=State.QUARANTINED, requester="", reason="", approvals=())
    await bolt.insert(own)
    await bolt.send(payloads.command(f"{own.ref.cluster_name} {own.ref.job_id}", user=user))

    shown = bolt.shown[-1]
    is_told = "This download is in quarantine already" in words(shown)
    assert ("submit" in shown, is_told) == (user == "U0RINA", user != "U0RINA")


async def test_dialog_can_be_tried_again_while_slack_does_not_say_who_may_act_alone(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt(replace(ONE, break_glass=People(groups=frozenset({"S0GLASS"}))))
    waits = await bolt.insert(samples.waiting(approvals=()))
    bolt.slack.respond("usergroups.users.list", *["fatal_error"] * 9)
    await bolt.send(payloads.command(f"{waits.ref.cluster_name} {waits.ref.job_id}"))

    assert ids.TRY_AGAIN in words(bolt.shown[-1])


async def test_unknown_view_is_answered(bolt: BoltHarness) -> None:
    answer = await bolt.send(payloads.submission(view() | {"callback_id": "other"}))

    assert "another version" in words(answer.body)


async def test_unexpected_error_is_answered_in_the_dialog_with_its_reference(
    bolt: BoltHarness,
) -> None:
    bolt.database.write_error = RuntimeError("a bug")
    answer = await bolt.send(payloads.submission(view()))

    assert answer.status == 200
    assert answer.body["response_action"] == "update"
    assert "Something went wrong" in words(answer.body)
    assert ids.TRY_AGAIN in words(answer.body)
    assert "a bug" not in words(answer.body)


@pytest.mark.parametrize("dialog", [ids.DENY_DIALOG, ids.KEEP_DIALOG])
async def test_dialog_for_a_reason_stays_after_an_unexpected_error_to_be_sent_again(
    bolt: BoltHarness, dialog: str
) -> None:
    in_quarantine = {"state": State.QUARANTINED, "requester": "", "reason": "", "approvals": ()}
    own = in_quarantine if dialog == ids.KEEP_DIALOG else {"approvals": ()}
    request = await bolt.insert(samples.waiting(**own))
    bolt.database.write_error = RuntimeError("a bug")
    asking = dialog_views.ask_reason(dialog, request.id)
    answer = await bolt.send(payloads.submission(asking, user="U0ADA", reason="needed"))

    assert answer.body["response_action"] == "errors"
    assert "please try again" in answer.body["errors"][ids.REASON]


async def test_nul_characters_are_removed_from_a_reason(bolt: BoltHarness) -> None:
    """PostgreSQL takes no NUL: such a reason could never be recorded."""
    await bolt.send(payloads.submission(view(), reason="by\0 mistake"))
    (request,) = await bolt.requests()

    assert request.ask.reason == "by mistake"
