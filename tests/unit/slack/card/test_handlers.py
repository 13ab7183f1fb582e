"""The listeners of buttons: a changed card, or a private message."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from bot.cancellation.errors import CancellationError, MaybeRecorded, NotRecorded, StoppedWaiting
from bot.cancellation.events import Event, EventName
from bot.cancellation.lifecycle import Card, Outcome, Request, State
from bot.cancellation.people import ActingPerson, People
from bot.cancellation.policy import Policy
from bot.cancellation.posts import PostKind, PostState
from bot.slack import ids
from bot.slack.decisions import waiting_until
from bot.slack.errors import other_version
from bot.slack.outbox.messages import Message, MessageBuilder
from bot.storage.outbox_store import OutboxStore
from bot.storage.posts import new_post
from bot.storage.tables import posts
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, PROJECT_ID, RINA
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import LINKS, api_error
from tests.unit.slack.harness import BoltHarness, NewBolt, Sleep

ONE = Policy(approvals=1, approvers=People(groups=frozenset({"S0APPROVE"})))
DECISIONS = (ids.APPROVE, ids.WITHDRAW, ids.RETRY)


async def waiting(new_bolt: NewBolt, **options: Any) -> tuple[BoltHarness, Request]:
    """Return a harness whose project needs an approval, and a request that waits for it."""
    bolt = new_bolt(ONE, **options)
    return bolt, await bolt.insert(samples.waiting(approvals=(), approvals_needed=1))


def recorded(sleeps: list[float]) -> Sleep:
    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)

    return sleep


async def test_ack_waits_for_the_database(new_bolt: NewBolt) -> None:
    bolt, request = await waiting(new_bolt)
    bolt.database.gate = asyncio.Event()
    acking = asyncio.create_task(bolt.ack(payloads.click(ids.APPROVE, request.id)))
    done, _ = await asyncio.wait({acking}, timeout=0.05)
    bolt.database.gate.set()
    await acking

    assert not done
    assert (await bolt.request(request.id)).state is State.APPROVED


@pytest.mark.parametrize(
    ("user", "team"), [("U0RINA", "T0HOME"), ("U0BOB", "T0HOME"), ("U0ADA", "T0OTHER")]
)
async def test_click_without_the_right_changes_nothing_and_names_who_has_it(
    new_bolt: NewBolt, user: str, team: str
) -> None:
    bolt, request = await waiting(new_bolt)
    answer = await bolt.send(payloads.click(ids.APPROVE, request.id, user=user, team=team))

    assert answer.status == 200
    assert (await bolt.request(request.id)) == request
    assert len(bolt.private) == 1
    assert "<!subteam^S0APPROVE>" in bolt.private[0]


@pytest.mark.parametrize(
    ("action", "user"),
    [(ids.APPROVE, "U0BOB"), (ids.APPROVE, "U0RINA"), (ids.DENY, "U0BOB"), (ids.KEEP, "U0BOB")],
)
async def test_clicks_without_the_right_leave_reads_of_groups_for_a_run(
    new_bolt: NewBolt, action: str, user: str
) -> None:
    bolt = new_bolt(ONE)
    own = {"state": State.QUARANTINED, "requester": "", "reason": ""} if action == ids.KEEP else {}
    request = await bolt.insert(samples.waiting(approvals=(), **own))
    for _ in range(20):
        await bolt.send(payloads.click(action, request.id, user=user))
        bolt.clock.advance(1)

    assert len(bolt.private) == 20
    assert 2 <= len(bolt.slack.called("usergroups.users.list")) <= 8


async def test_requester_withdraws_without_a_call_to_slack(new_bolt: NewBolt) -> None:
    bolt, request = await waiting(new_bolt)
    await bolt.send(payloads.click(ids.WITHDRAW, request.id, user=RINA.id))

    assert (await bolt.request(request.id)).state is State.WITHDRAWN
    assert bolt.slack.calls == []


async def test_failed_request_can_be_retried(bolt: BoltHarness) -> None:
    request = await bolt.insert(samples.request(state=State.FAILED))
    await bolt.send(payloads.click(ids.RETRY, request.id, user=RINA.id))

    assert (await bolt.request(request.id)).state is State.APPROVED


@pytest.mark.parametrize("action", [*DECISIONS, ids.DENY])
@pytest.mark.parametrize("state", sorted({State.DENIED, State.CANCELLED, State.EXPIRED}))
async def test_click_after_the_end_reports_what_happened_and_when(
    new_bolt: NewBolt, action: str, state: State
) -> None:
    bolt = new_bolt(ONE)
    ended = samples.request(state=state, outcome=Outcome(by="U0ABE"))
    await bolt.insert(ended)
    answer = await bolt.send(payloads.click(action, ended.id))

    assert answer.status == 200
    assert "<@U0ABE>" in bolt.private[0]
    assert "!date^" in bolt.private[0]
    assert (await bolt.request(ended.id)) == ended


async def second_cards(bolt: BoltHarness) -> list[Message]:
    """Build the messages that replace second cards and copies."""
    outbox = OutboxStore(bolt.database, bolt.clock)
    claimed = await outbox.claim("me", 8)
    seconds = [each for each in claimed if each.kind is PostKind.SECOND_CARD]
    return [MessageBuilder(LINKS, bolt.projects).build(each) for each in seconds]


@pytest.mark.parametrize("state", [State.AWAITING, State.DENIED])
@pytest.mark.parametrize("channel", ["C0OPS", "D0ADA"], ids=["card", "copy"])
async def test_second_card_that_is_clicked_is_replaced_by_the_outbox_alone(
    new_bolt: NewBolt, channel: str, state: State
) -> None:
    """So the limit of edits holds for all replicas."""
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.request(state=state, approvals_needed=1, approvals=()))
    for _ in range(2):
        click = payloads.click(ids.APPROVE, request.id, channel=channel, ts="1700000009.000100")
        await bolt.send(click)
    (message,) = await second_cards(bolt)

    assert bolt.slack.called("chat.update") == []
    assert (message.channel, message.ts) == (channel, "1700000009.000100")
    assert "posted twice" in json.dumps(message.content["blocks"])


@pytest.mark.parametrize("state", [State.AWAITING, State.QUARANTINED])
async def test_second_card_is_replaced_when_it_opens_a_dialog(
    new_bolt: NewBolt, state: State
) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.request(state=state, approvals_needed=1, approvals=()))
    action = ids.DENY if state is State.AWAITING else ids.KEEP
    await bolt.send(payloads.click(action, request.id, ts="1700000009.000100"))

    assert len(bolt.shown) == 1
    assert [each.ts for each in await second_cards(bolt)] == ["1700000009.000100"]


async def test_second_card_follows_its_request_to_the_end(new_bolt: NewBolt) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.request(state=State.AWAITING, approvals=()))
    outbox = OutboxStore(bolt.database, bolt.clock)
    await bolt.send(payloads.click(ids.DENY, request.id, ts="1700000009.000100"))
    for each in await outbox.claim("me", 8):
        await outbox.mark_sent(each, "C0OPS", "1700000009.000100")
    await bolt.send(payloads.click(ids.WITHDRAW, request.id, user=RINA.id))

    (message,) = await second_cards(bolt)
    assert message.content["metadata"]["event_payload"]["state"] == State.WITHDRAWN


async def test_card_stays_when_its_retry_is_refused_for_another_request(new_bolt: NewBolt) -> None:
    bolt = new_bolt(ONE)
    failed = await bolt.insert(samples.request(state=State.FAILED))
    card = Card(channel="C0OPS", ts="1700000009.000100")
    await bolt.insert(samples.waiting(id="1" * 32, key="V2", card=card))
    await bolt.send(payloads.click(ids.RETRY, failed.id, user=RINA.id))

    assert "*Download link* expected" in bolt.private[0]
    assert "asked to cancel this download already" in bolt.private[0]
    assert await second_cards(bolt) == []


async def test_second_card_is_replaced_at_a_refused_click(new_bolt: NewBolt) -> None:
    bolt, request = await waiting(new_bolt)
    click = payloads.click(ids.APPROVE, request.id, user="U0BOB", ts="1700000009.000100")
    await bolt.send(click)

    assert "You may not approve" in bolt.private[0]
    assert [each.ts for each in await second_cards(bolt)] == ["1700000009.000100"]


@pytest.mark.parametrize(
    "known",
    [
        {"state": PostState.SENT, "channel": "D0ADA", "ts": "1700000009.000100"},
        {"state": PostState.DUE, "attempts": 1},  # the clicked message, if its answer was lost
    ],
    ids=["delivered", "unanswered"],
)
async def test_copy_that_is_clicked_is_no_second_one(
    new_bolt: NewBolt, known: dict[str, Any]
) -> None:
    bolt, request = await waiting(new_bolt)
    event = Event(name=EventName.NOTIFIED, request=request.id, number=1, at="")
    copy = new_post(request, PostKind.COPY, event, NOON, "U0ADA")
    await bolt.database.write(lambda db: db.execute(insert(posts), copy | known))
    click = payloads.click(ids.APPROVE, request.id, channel="D0ADA", ts="1700000009.000100")
    await bolt.send(click)

    assert await second_cards(bolt) == []


@pytest.mark.parametrize("action", [*DECISIONS, ids.DENY])
async def test_click_for_an_unknown_request_is_reported(new_bolt: NewBolt, action: str) -> None:
    bolt = new_bolt(ONE)
    answer = await bolt.send(payloads.click(action, "nosuch"))

    assert answer.status == 200
    if action == ids.DENY:
        assert bolt.shown[0]["callback_id"] == ids.DENY_DIALOG
    else:
        assert "no request with this id" in bolt.private[0]


async def test_decision_that_was_not_recorded_is_reported(new_bolt: NewBolt) -> None:
    bolt, request = await waiting(new_bolt)
    bolt.database.write_error = NotRecorded()
    await bolt.send(payloads.click(ids.APPROVE, request.id))

    assert bolt.private == [str(NotRecorded())]
    assert bolt.offered == [("Try again", ids.APPROVE, request.id)]


LIMITED = api_error("ratelimited", 429, {"Retry-After": "50"})


async def test_approval_counts_once_slack_says_who_may_approve(new_bolt: NewBolt) -> None:
    sleeps: list[float] = []
    bolt, request = await waiting(new_bolt, sleep=recorded(sleeps))
    bolt.slack.respond("users.info", LIMITED, "fatal_error")
    answer = await bolt.send(payloads.click(ids.APPROVE, request.id))

    assert answer.status == 200
    assert (await bolt.request(request.id)).state is State.APPROVED
    assert (sum(sleeps), bolt.private) == (52.0, [waiting_until(NOON + timedelta(minutes=3))])


async def test_approval_that_slack_never_lets_count_can_be_tried_again(new_bolt: NewBolt) -> None:
    sleeps: list[float] = []
    bolt, request = await waiting(new_bolt, sleep=recorded(sleeps))
    bolt.slack.respond("users.info", *[LIMITED] * 4)
    await bolt.send(payloads.click(ids.APPROVE, request.id))

    assert 150 < sum(sleeps) < 180
    assert "could not check who may do this" in bolt.private[-1]
    assert bolt.offered == [("Try again", ids.APPROVE, request.id)]


async def test_approval_is_not_tried_after_the_time_that_the_person_was_given(
    new_bolt: NewBolt,
) -> None:
    async def slow(_seconds: float) -> None:
        bolt.clock.advance(20)  # as a try does for which Slack holds its answer back

    bolt, request = await waiting(new_bolt, sleep=slow)
    bolt.slack.respond("users.info", *["fatal_error"] * 8)  # the ninth answer would let it count
    await bolt.send(payloads.click(ids.APPROVE, request.id))

    assert (await bolt.request(request.id)).state is State.AWAITING
    assert "could not check who may do this" in bolt.private[-1]
    assert bolt.clock() < NOON + timedelta(minutes=3)


async def test_approval_of_a_request_that_has_ended_waits_no_longer_for_slack(
    new_bolt: NewBolt,
) -> None:
    async def withdraw(_seconds: float) -> None:
        await bolt.service.withdraw(request.id, ActingPerson(RINA))

    bolt, request = await waiting(new_bolt, sleep=withdraw)
    bolt.slack.respond("users.info", *[LIMITED] * 9)
    await bolt.send(payloads.click(ids.APPROVE, request.id))

    assert "This request was" in bolt.private[-1]
    assert bolt.clock() == NOON + timedelta(seconds=2)


@pytest.mark.parametrize(
    ("is_read_again", "sentence"), [(False, StoppedWaiting()), (True, MaybeRecorded())]
)
async def test_approval_that_waits_at_shutdown_can_be_tried_again(
    new_bolt: NewBolt, *, is_read_again: bool, sentence: CancellationError
) -> None:
    async def sleep(_seconds: float) -> None:
        bolt.database.gate = asyncio.Event()
        await (asyncio.sleep(0) if is_read_again else asyncio.Event().wait())

    bolt, request = await waiting(new_bolt, sleep=sleep)
    bolt.slack.respond("users.info", LIMITED)
    answer = await bolt.ack(payloads.click(ids.APPROVE, request.id))
    await bolt.background.drain(0.2)

    assert answer.status == 200
    assert bolt.private[-1] == str(sentence)
    assert bolt.offered == [("Try again", ids.APPROVE, request.id)]


async def test_slow_database_is_reported_as_uncertain_and_the_click_counts_later(
    new_bolt: NewBolt,
) -> None:
    bolt, request = await waiting(new_bolt, ack_timeout=0.02)
    bolt.database.gate = asyncio.Event()
    answer = await bolt.ack(payloads.click(ids.APPROVE, request.id))
    bolt.database.gate.set()
    await bolt.finish()

    assert answer.status == 200
    assert bolt.private == [str(MaybeRecorded())]
    assert (await bolt.request(request.id)).state is State.APPROVED


@pytest.mark.parametrize("action", [ids.APPROVE, ids.DENY])
async def test_unreadable_user_group_blocks_the_decision(new_bolt: NewBolt, action: str) -> None:
    bolt, request = await waiting(new_bolt)
    bolt.slack.respond("usergroups.users.list", "plan_upgrade_required")
    await bolt.send(payloads.click(action, request.id))

    assert "no user groups" in bolt.private[0]
    assert (await bolt.request(request.id)) == request
    assert bolt.shown == []


@pytest.mark.parametrize(
    ("action", "refusal"),
    [(ids.DENY, "may not approve or deny"), (ids.KEEP, "You may not keep this download. This may")],
)
async def test_button_of_a_dialog_without_the_right_is_refused_without_a_dialog(
    new_bolt: NewBolt, action: str, refusal: str
) -> None:
    bolt = new_bolt(ONE)
    own = {"state": State.QUARANTINED, "requester": "", "reason": ""} if action == ids.KEEP else {}
    request = await bolt.insert(samples.waiting(approvals=(), **own))
    await bolt.send(payloads.click(action, request.id, user="U0BOB"))

    assert refusal in bolt.private[0]
    assert bolt.shown == []


@pytest.mark.parametrize(("trigger", "opened"), [("1.2.3", 1), ("", 0)])
async def test_deny_with_an_expired_or_without_a_trigger_is_reported(
    new_bolt: NewBolt, trigger: str, opened: int
) -> None:
    bolt, request = await waiting(new_bolt)
    bolt.slack.respond("views.open", "expired_trigger_id")
    await bolt.send(payloads.click(ids.DENY, request.id) | {"trigger_id": trigger})

    assert "could not be opened in time" in bolt.private[0]
    assert bolt.offered == [("Try again", ids.DENY, request.id)]
    assert len(bolt.slack.called("views.open")) == opened


async def test_open_button_opens_the_dialog_of_its_job(bolt: BoltHarness) -> None:
    value = f"{PROJECT_ID}/prod-eu {JOB_ID}"
    await bolt.send(payloads.click(ids.OPEN, value))

    assert bolt.atlas[PROJECT_ID].calls == [samples.asked().cluster]
    assert bolt.shown[-1]["submit"]["text"] == "Cancel the job"


async def test_open_button_of_an_unknown_project_is_answered(bolt: BoltHarness) -> None:
    await bolt.send(payloads.click(ids.OPEN, f"{'f' * 24}/prod-eu {JOB_ID}"))

    assert len(bolt.private) == 1
    assert bolt.shown == []


async def test_unknown_button_is_answered(bolt: BoltHarness) -> None:
    answer = await bolt.send(payloads.click("cancel_restore_new", "x"))

    assert answer.status == 200
    assert bolt.private == [other_version("button")]


async def test_try_again_in_a_dialog_of_another_version_is_answered(bolt: BoltHarness) -> None:
    await bolt.send(payloads.view_click(ids.TRY_AGAIN, {"private_metadata": "{}"}))

    assert "type the command again" in bolt.slack.called("chat.postMessage")[0]["text"]
