"""The listeners of typed commands."""

import asyncio
import json

import pytest

from bot.atlas import JobNotFound, TimedOut
from bot.cancellation.lifecycle import Outcome, State
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.slack import ids
from tests.support.domain import JOB_ID, PROJECT_ID, a_job
from tests.support.service import CLUSTER
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import api_error
from tests.unit.slack.harness import BoltHarness, NewBolt

TYPED = f"prod-eu {JOB_ID}"


def words(view: object) -> str:
    return json.dumps(view, ensure_ascii=False)


async def test_dialog_opens_first_and_then_shows_the_job(bolt: BoltHarness) -> None:
    answer = await bolt.send(payloads.command(TYPED))

    assert (answer.status, answer.body) == (200, {})
    assert bolt.slack.methods[0] == "views.open"
    assert bolt.slack.methods[-1] == "views.update"
    assert "Looking up" in words(bolt.shown[0])
    assert bolt.shown[-1]["submit"]["text"] == "Cancel the job"
    assert len(bolt.acks) == 1


async def test_fifty_pending_dialogs_all_report_the_restart_at_shutdown(bolt: BoltHarness) -> None:
    bolt.atlas[PROJECT_ID].gates[CLUSTER] = asyncio.Event()
    many = 50
    for _ in range(many):
        await bolt.ack(payloads.command(TYPED))
    await bolt.background.drain(1.0)

    ends = [view for view in bolt.shown if "being restarted" in words(view)]
    assert len(ends) == many
    assert not bolt.background.tasks


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("prod_eu " + JOB_ID, f"Did you mean `/cancel-restore prod-eu {JOB_ID}`"),
        ("<!a<b>&c " + JOB_ID, "not a cluster's name"),
        ("x" * 3001, "3001 characters"),
    ],
)
async def test_other_text_is_answered_in_private_with_an_example(
    bolt: BoltHarness, typed: str, expected: str
) -> None:
    answer = await bolt.send(payloads.command(typed))

    assert answer.body["response_type"] == "ephemeral"
    assert expected in answer.text
    assert "/cancel-restore" in answer.text
    assert "<" not in answer.text
    assert bolt.slack.calls == []


async def test_dialog_of_a_misspelled_keyword_opens_while_the_trigger_is_valid(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt(reason_check_timeout=0.02)
    gate = bolt.slack.scripts["users.info"].gate = asyncio.Event()
    await bolt.ack(payloads.command("hepl"))
    await bolt.slack.until_called("views.open", 1)
    gate.set()
    await bolt.finish()

    assert bolt.private == []
    assert "shop-prod has no cluster `hepl`: choose one of its clusters." in words(bolt.shown[-1])


async def test_person_who_may_not_ask_sees_no_job_details(new_bolt: NewBolt) -> None:
    bolt = new_bolt(Policy(requesters=People(users=frozenset({"U0ADA"}))))
    await bolt.send(payloads.command(TYPED))

    assert "<@U0ADA>" in words(bolt.shown[-1])
    assert "submit" not in bolt.shown[-1]
    assert "Snapshot" not in words(bolt.shown[-1])


async def test_request_without_enough_approvers_is_refused_in_the_dialog(new_bolt: NewBolt) -> None:
    bolt = new_bolt(Policy(approvals=2, approvers=People(users=frozenset({"U0ADA", "U0RINA"}))))
    await bolt.send(payloads.command(TYPED))

    assert "only 1 could give one" in words(bolt.shown[-1])
    assert "submit" not in bolt.shown[-1]


async def test_dialog_names_only_other_people_as_approvers(new_bolt: NewBolt) -> None:
    bolt = new_bolt(Policy(approvals=1, approvers=People(users=frozenset({"U0ADA", "U0RINA"}))))
    await bolt.send(payloads.command(TYPED))

    assert "must approve first: <@U0ADA>." in words(bolt.shown[-1])


@pytest.mark.parametrize(
    ("kind", "name"), [("automated", "an automated"), ("pointInTime", "a point-in-time")]
)
async def test_job_that_cannot_be_cancelled_is_shown_without_a_submit_button(
    bolt: BoltHarness, kind: str, name: str
) -> None:
    job = a_job(deliveryType=kind, targetClusterName="a")
    bolt.atlas[PROJECT_ID].jobs[CLUSTER] = [job]
    await bolt.send(payloads.command(TYPED))
    why = f"Atlas cancels downloads only, and this is {name} restore to a cluster."

    assert why in words(bolt.shown[-1])
    assert "submit" not in bolt.shown[-1]


async def test_job_with_an_open_request_shows_its_requester(bolt: BoltHarness) -> None:
    await bolt.insert(samples.waiting(requester="U0ABE"))
    await bolt.send(payloads.command(TYPED))

    assert "<@U0ABE> asked to cancel this download already" in words(bolt.shown[-1])
    assert "https://shop.slack.com/archives/C0OPS/p1700000000000100" in words(bolt.shown[-1])


async def test_atlas_error_can_be_retried_in_the_dialog(bolt: BoltHarness) -> None:
    bolt.atlas[PROJECT_ID].faults[CLUSTER] = JobNotFound(
        "There is no such job.", call="GET job", status=404
    )
    await bolt.send(payloads.command(TYPED))
    trouble = bolt.shown[-1]
    bolt.atlas[PROJECT_ID].faults.clear()
    await bolt.send(payloads.view_click(ids.TRY_AGAIN, trouble))

    assert ids.TRY_AGAIN in words(trouble)
    assert "submit" not in trouble
    assert "Looking up" in words(bolt.shown[-2])
    assert bolt.shown[-1]["submit"]["text"] == "Cancel the job"


@pytest.mark.parametrize("typed", [JOB_ID, CLUSTER])
async def test_dialog_that_slack_does_not_open_can_be_tried_again(
    bolt: BoltHarness, typed: str
) -> None:
    bolt.slack.respond("views.open", "ratelimited", "ratelimited")
    await bolt.send(payloads.command(typed))
    [(label, action_id, value)] = bolt.offered

    assert (label, action_id, value) == ("Try again", ids.COMMAND, typed)


async def test_unexpected_error_after_the_ack_is_reported_with_its_reference(
    bolt: BoltHarness,
) -> None:
    bolt.atlas[PROJECT_ID].faults[CLUSTER] = RuntimeError("a bug")
    await bolt.send(payloads.command(TYPED))

    assert len(bolt.private) == 1
    assert "the bot's log has the details under" in bolt.private[0]
    assert "a bug" not in bolt.private[0]
    assert bolt.offered == [("Try again", ids.COMMAND, TYPED)]


async def test_unexpected_error_before_the_ack_is_answered_in_private(bolt: BoltHarness) -> None:
    broken = payloads.command(TYPED)
    del broken["user_id"]
    answer = await bolt.send(broken)

    assert answer.status == 200
    assert "Something went wrong" in answer.text


# Decisions

ONE = Policy(approvals=1, approvers=People(groups=frozenset({"S0APPROVE"})))


BOTS, RINAS = "", "U0RINA"


@pytest.mark.parametrize(
    ("typed", "user", "requester", "state", "expected"),
    [
        ("approve {}", "U0ADA", RINAS, State.APPROVED, "was approved by <@U0ADA>"),
        (
            "deny {}",
            "U0ADA",
            RINAS,
            State.AWAITING,
            "For example: `/cancel-restore deny {} REASON`",
        ),
        ("approve {}", "U0RINA", RINAS, State.AWAITING, "You may not approve"),
        ("approve {}", "U0BOB", RINAS, State.AWAITING, "may be done by <!subteam^S0APPROVE>"),
        ("deny {} no", "U0ADA", "U0ADA", State.AWAITING, "`/cancel-restore withdraw {}`"),
        ("withdraw {}", "U0RINA", RINAS, State.WITHDRAWN, "was withdrawn by <@U0RINA>"),
        ("withdraw {}", "U0BOB", RINAS, State.AWAITING, "That is <@U0RINA>"),
        ("keep {} it is ours", "U0ADA", RINAS, State.AWAITING, "deny {} REASON` denies it"),
        ("cancel {}", "U0ADA", RINAS, State.AWAITING, "approve {}` approves cancelling"),
        ("keep {} it is ours", "U0ADA", BOTS, State.KEPT, "the download was kept by <@U0ADA>"),
        ("keep {}", "U0ADA", BOTS, State.QUARANTINED, "/cancel-restore keep {} REASON`"),
        ("cancel {}", "U0ADA", BOTS, State.APPROVED, "was approved by <@U0ADA>"),
        ("cancel {}", "U0BOB", BOTS, State.QUARANTINED, "You may not cancel this download, which"),
        ("deny {} not ours", "U0ADA", BOTS, State.QUARANTINED, "keep {} REASON` lets it go on"),
        ("approve {}", "U0ADA", BOTS, State.QUARANTINED, "cancel {}` cancels it now"),
        ("withdraw {}", "U0ADA", BOTS, State.QUARANTINED, "cancel {}` cancels it now"),
        ("approve {}", "U0ADA", BOTS, State.OVER, "This request ended"),
    ],
)
async def test_typed_decision_has_the_rights_of_the_buttons_of_its_request_and_a_private_answer(
    new_bolt: NewBolt, typed: str, user: str, requester: str, *, state: State, expected: str
) -> None:
    bolt = new_bolt(ONE)
    before = State.AWAITING if requester else State.QUARANTINED
    before = State.OVER if state is State.OVER else before
    asked = samples.waiting(state=before, requester=requester, approvals=(), approvals_needed=1)
    request = await bolt.insert(asked)
    await bolt.send(payloads.command(typed.format(request.id), user=user))

    assert (await bolt.request(request.id)).state is state
    assert len(bolt.private) == 1
    assert expected.format(request.id) in bolt.private[0]


async def test_typed_denial_records_its_reason(new_bolt: NewBolt) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.waiting(approvals=(), approvals_needed=1))
    await bolt.send(payloads.command(f"deny {request.id} it is needed", user="U0ADA"))
    denied = await bolt.request(request.id)
    assert (denied.state, denied.outcome.sentence) == (State.DENIED, "it is needed")


async def test_typed_decision_about_an_ended_or_unknown_request_is_explained(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt(ONE)
    ended = samples.request(state=State.DENIED, outcome=Outcome(by="U0ADA"))
    await bolt.insert(ended)
    await bolt.send(payloads.command(f"approve {ended.id}", user="U0ABE"))
    await bolt.send(payloads.command(f"approve {'f' * 32}", user="U0ABE"))
    handled, unknown = bolt.private
    assert "was denied by <@U0ADA>" in handled
    assert "no request with this id: compare it with the one on the card." in unknown
    assert "`/cancel-restore history` lists the last requests." in unknown


async def test_job_of_another_cluster_is_found_and_shown(bolt: BoltHarness) -> None:
    bolt.atlas[PROJECT_ID].jobs["prod-us"] = []
    await bolt.send(payloads.command(f"prod-us {JOB_ID}"))
    where = bolt.shown[-1]
    await bolt.send(payloads.view_click(ids.TRY_AGAIN, where))

    assert f"Job `{JOB_ID}` is not in `prod-us`. It is in `prod-eu` in shop-prod." in words(where)
    assert "`prod-eu` in shop-prod" in words(bolt.shown[-1])
    assert bolt.shown[-1]["submit"]["text"] == "Cancel the job"


@pytest.mark.parametrize("typed", [JOB_ID, CLUSTER])
async def test_search_and_pickers_can_be_tried_again_after_a_fault_of_slack(
    bolt: BoltHarness, typed: str
) -> None:
    bolt.slack.respond("users.info", "fatal_error")
    await bolt.send(payloads.command(typed))
    trouble = bolt.shown[-1]
    await bolt.send(payloads.view_click(ids.TRY_AGAIN, trouble))

    assert "so nothing was done" in words(trouble)
    assert "submit" not in trouble
    assert bolt.shown[-1]["submit"]["text"] == "Cancel the job"
    assert "`prod-eu`" in words(bolt.shown[-1])


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("history 3", "*The last request*"),
        ("list", "*1 download can be cancelled now*"),
        ("approve {}", "This request was approved by <@U0ADA>"),
    ],
)
async def test_command_can_be_tried_again_after_a_lasting_fault_of_slack(
    new_bolt: NewBolt, typed: str, answer: str
) -> None:
    bolt = new_bolt(ONE)
    request = await bolt.insert(samples.waiting(approvals=(), approvals_needed=1))
    limited = api_error("ratelimited", 429, {"Retry-After": "60"})
    bolt.slack.respond("users.info", *[limited] * 4)  # for three minutes
    await bolt.send(payloads.command(typed.format(request.id), user="U0ADA"))
    [(label, action_id, value)] = bolt.offered
    bolt.slack.scripts["users.info"].answers.clear()
    bolt.clock.advance(60)
    await bolt.send(payloads.click(action_id, value))

    assert label == "Try again"
    assert answer in bolt.private[-1]


async def test_unread_pickers_and_lists_can_be_tried_again(bolt: BoltHarness) -> None:
    bolt.atlas[PROJECT_ID].faults[CLUSTER] = TimedOut()
    await bolt.send(payloads.command(CLUSTER))
    picker = bolt.shown[-1]
    await bolt.send(payloads.command("list"))
    unread = bolt.slack.called("chat.postEphemeral")[-1]
    bolt.atlas[PROJECT_ID].faults.clear()
    await bolt.send(payloads.view_click(ids.TRY_AGAIN, picker))
    await bolt.send(payloads.click(ids.MORE, "0 "))

    assert ids.TRY_AGAIN in words(picker)
    assert "1 download of `prod-eu` can be cancelled now" in words(bolt.shown[-1])
    assert "Could not be read: `prod-eu`" in words(unread)
    assert "Try again" in words(unread)
    assert "1 download can be cancelled now" in words(bolt.private[-1])


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_error_of_atlas_says_how_long_is_left_for_a_job_on_record_and_what_can_be_done(
    bolt: BoltHarness, *, is_recorded: bool
) -> None:
    if is_recorded:  # a job is recorded once it is another than follows from its id
        bolt.atlas[PROJECT_ID].jobs[CLUSTER] = [a_job(deliveryUrl=["https://example.test/x"])]
        await bolt.send(payloads.command(TYPED))
    bolt.atlas[PROJECT_ID].faults[CLUSTER] = TimedOut()
    await bolt.send(payloads.command(TYPED))

    assert "cancel the download in Atlas, on the cluster's Backup page" in words(bolt.shown[-1])
    assert ("*Download link* :warning: live" in words(bolt.shown[-1])) is is_recorded


async def test_picker_says_that_the_link_of_an_earlier_read_was_used(bolt: BoltHarness) -> None:
    jobs = bolt.atlas[PROJECT_ID].jobs
    jobs[CLUSTER] = [a_job(deliveryUrl=["https://example.test/x"])]
    await bolt.send(payloads.command(TYPED))
    jobs[CLUSTER] = [a_job()]
    bolt.clock.advance(60)
    await bolt.send(payloads.command(CLUSTER))

    assert "link used" in words(bolt.shown[-1])


async def test_misspelled_subcommand_is_distinguished_from_a_cluster_of_that_name(
    new_bolt: NewBolt,
) -> None:
    bolt = new_bolt()
    await bolt.send(payloads.command("hepl"))
    other = new_bolt()
    other.atlas[PROJECT_ID].jobs["lost"] = []
    await other.send(payloads.command("lost"))

    assert "Did you mean `/cancel-restore help`" in bolt.private[0]
    assert bolt.shown == []
    assert "No download of `lost` can be cancelled now." in words(other.shown[-1])


async def test_project_name_matches_in_any_case(new_bolt: NewBolt) -> None:
    bolt = new_bolt(Policy(), "shop-prod", "shop-dev")
    await bolt.send(payloads.command(f"nosuch {TYPED}"))
    await bolt.send(payloads.command(f"SHOP-PROD {TYPED}"))

    assert (
        "does not know a project `nosuch`; you may use `shop-prod` and `shop-dev`"
        in bolt.private[0]
    )
    assert [bolt.atlas[each].calls for each in bolt.atlas] == [[CLUSTER], []]
