"""The Slack app against a strict Slack: commands, clicks and messages."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bot.cancellation.errors import NotRead, NotRecorded
from bot.cancellation.lifecycle import Card, Request, State
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.sandbox.slack import Fault
from bot.slack import ids
from bot.slack.card import views as card_views
from tests.integration.slack.conftest import RunningApp, Start
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.service import CLUSTER

COMMAND = f"/cancel-restore prod-eu {JOB_ID}"
ONE_APPROVAL = Policy(approvals=1, approvers=People(groups=frozenset({"S0APPROVE1"})))


async def dialog_of(running: RunningApp, user: str, word: str) -> dict[str, Any]:
    """Wait until the dialog on the person's screen has `word` in it."""

    def shown() -> dict[str, Any] | None:
        view = running.slack.state.view_of(user)
        return view if view and word in running.slack.state.text_of(view) else None

    view = await running.slack.until(shown)
    assert view
    return view


async def posted(running: RunningApp, request: Request) -> dict[str, Any]:
    """Post the request's card, as the outbox would."""
    approvers = ONE_APPROVAL.approvers
    message = card_views.message(request, approvers, running.links)
    answer = await running.client.chat_postMessage(channel=request.channel, **message)
    await running.core.note_card(request, str(answer["channel"]), str(answer["ts"]))
    found = running.slack.state.message(str(answer["channel"]), str(answer["ts"]))
    assert found
    return found


async def asked(running: RunningApp, user: str = "rina", **typed: str) -> Request:
    """Ask for a cancellation as a person would, and return the request."""
    await running.slack.people.types(user, "#ops", COMMAND)
    dialog = await dialog_of(running, user, "Restore job")
    ack = await running.slack.people.submits(user, dialog, {"reason": "wrong cluster", **typed})
    assert ack.ok
    (request,) = await running.core.requests()
    return request


async def private_message(running: RunningApp, user: str) -> str:
    """Wait for a private message and return its text."""
    seen = await running.slack.until(lambda: running.slack.state.ephemerals(user))
    return running.slack.state.text_of(seen[-1])


async def test_the_command_opens_the_dialog_with_the_first_call_and_then_shows_the_job(
    start: Start,
) -> None:
    async with start() as running:
        before = len(running.slack.calls)
        ack = await running.slack.people.types("rina", "#ops", COMMAND)
        dialog = await dialog_of(running, "rina", "Restore job")

        assert ack.ok
        assert running.slack.calls[before].method == "views.open"
        assert JOB_ID in running.slack.state.text_of(dialog)
        assert dialog["submit"]["text"] == "Cancel the job"
        assert dialog["close"]["text"] == "Keep it"
        assert running.slack.complaints == []


async def test_a_submission_is_recorded_and_closes_the_dialog(start: Start) -> None:
    async with start() as running:
        request = await asked(running)

        assert request.reason == "wrong cluster"
        assert request.channel == "C0OPS00001"
        assert running.slack.state.view_of("rina") is None
        assert len(running.acks) == 2


async def test_the_dialog_opens_while_atlas_is_slow(start: Start) -> None:
    async with start() as running:
        gate = running.core.atlas[PROJECT_ID].gates[CLUSTER] = asyncio.Event()
        await running.slack.people.types("rina", "#ops", COMMAND)
        loading = await dialog_of(running, "rina", "Looking up")
        gate.set()
        await dialog_of(running, "rina", "Restore job")

        assert "submit" not in loading or loading["submit"] is None


async def test_unrecorded_submission_is_reported_in_the_dialog_which_keeps_its_inputs(
    start: Start,
) -> None:
    async with start() as running:
        await running.slack.people.types("rina", "#ops", COMMAND)
        dialog = await dialog_of(running, "rina", "Restore job")
        running.core.database.write_error = NotRecorded()
        ack = await running.slack.people.submits("rina", dialog, {"reason": "wrong cluster"})

        assert ack.errors == {"reason": str(NotRecorded())}
        assert running.slack.state.view_of("rina") is not None


@pytest.mark.parametrize("channel", ["#quiet", "#lobby", "#shared"])
async def test_card_goes_to_the_direct_message_where_the_bot_should_not_post(
    start: Start, channel: str
) -> None:
    async with start() as running:
        await running.slack.people.types("rina", channel, COMMAND)
        dialog = await dialog_of(running, "rina", "direct messages")
        await running.slack.people.submits("rina", dialog, {})
        (request,) = await running.core.requests()
        await posted(running, request)
        linked = await dialog_of(running, "rina", "Go to the card")

        assert request.channel == "U0RINA0001"
        assert running.slack.state.dm("rina") in str(linked)


async def test_request_that_needs_approval_is_refused_where_approvers_cannot_see_it(
    start: Start,
) -> None:
    async with start(ONE_APPROVAL) as running:
        await running.slack.people.types("rina", "#quiet", COMMAND)
        dialog = await dialog_of(running, "rina", "approval of other people")

        assert not dialog.get("submit")
        assert await running.core.requests() == []


async def test_an_approver_approves_and_others_may_not(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        message = await posted(running, await asked(running))
        await running.slack.people.clicks("rina", message, ids.APPROVE)
        refused = await private_message(running, "rina")
        await running.slack.people.clicks("gus", message, ids.APPROVE)
        guest = await private_message(running, "gus")
        ack = await running.slack.people.clicks("ada", message, ids.APPROVE)

        (request,) = await running.core.requests()
        assert "may not approve" in refused
        assert "may not approve" in guest
        assert ack.ok
        assert [approval.user for approval in request.approvals] == ["U0ADA00001"]


async def test_a_click_after_the_end_names_the_first_person(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        message = await posted(running, await asked(running))
        await running.slack.people.clicks("rina", message, ids.WITHDRAW)
        ack = await running.slack.people.clicks("ada", message, ids.APPROVE, stale=True)
        text = await private_message(running, "ada")

        assert ack.ok
        assert "was withdrawn by @Rina" in text


async def test_a_denial_asks_for_its_reason_first(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        message = await posted(running, await asked(running))
        await running.slack.people.clicks("abe", message, ids.DENY)
        dialog = await dialog_of(running, "abe", "nothing is done")
        ack = await running.slack.people.submits("abe", dialog, {"reason": "still needed"})

        (request,) = await running.core.requests()
        assert ack.ok
        assert dialog["callback_id"] == ids.DENY_DIALOG
        assert (request.state, request.outcome.sentence) == (State.DENIED, "still needed")


async def test_a_person_who_may_not_deny_is_not_asked_for_a_reason(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        message = await posted(running, await asked(running))
        await running.slack.people.clicks("gus", message, ids.DENY)
        text = await private_message(running, "gus")

        assert "may not approve or deny" in text
        assert running.slack.state.view_of("gus") is None


async def test_a_second_copy_of_a_card_is_settled_at_its_first_click(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        request = await asked(running)
        copy = await posted(running, request)
        kept = await posted(running, request)
        await running.slack.people.clicks("ada", copy, ids.APPROVE)
        await running.slack.until(
            lambda: (
                "posted twice"
                in running.slack.state.text_of(running.slack.state.messages("#ops")[0])
            )
        )

        link = running.links.message(Card(channel=kept["channel"], ts=kept["ts"]))
        assert link
        assert link in str(running.slack.state.messages("#ops")[0])


async def test_without_an_answer_about_groups_every_approval_is_refused(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        running.slack.workspace.has_user_groups = False
        await running.slack.people.types("rina", "#ops", COMMAND)
        dialog = await dialog_of(running, "rina", "no user groups")

        assert "Try again" in running.slack.state.text_of(dialog)
        assert await running.core.requests() == []


async def test_try_again_reads_the_job_again_in_the_same_dialog(start: Start) -> None:
    async with start() as running:
        running.core.database.read_error = NotRead()
        await running.slack.people.types("rina", "#ops", COMMAND)
        dialog = await dialog_of(running, "rina", "Try again")
        running.core.database.read_error = None
        ack = await running.slack.people.clicks("rina", dialog, ids.TRY_AGAIN)
        again = await dialog_of(running, "rina", "Snapshot")

        assert ack.ok
        assert again["id"] == dialog["id"]
        assert again["submit"]["text"] == "Cancel the job"


async def test_an_expired_trigger_is_reported_in_private(start: Start) -> None:
    async with start() as running:
        running.slack.faults.add("views.open", Fault(kind="error", code="expired_trigger_id"))
        await running.slack.people.types("rina", "#ops", COMMAND)

        assert "type the command again" in await private_message(running, "rina")


async def test_the_same_click_delivered_twice_counts_once(start: Start) -> None:
    async with start(ONE_APPROVAL) as running:
        message = await posted(running, await asked(running))
        await running.slack.people.clicks("ada", message, ids.APPROVE)
        await running.slack.people.redelivers()

        (request,) = await running.core.requests()
        assert len(request.approvals) == 1
        assert request.expires_at - request.created_at == timedelta(minutes=30)


async def test_people_of_another_organization_may_not_approve(start: Start) -> None:
    named = Policy(approvals=1, channels=frozenset({"C0SHARED01", "C0OPS00001"}))
    async with start(named) as running:
        await running.slack.people.types("rina", "#shared", COMMAND)
        dialog = await dialog_of(running, "rina", "Restore job")
        await running.slack.people.submits("rina", dialog, {})
        (request,) = await running.core.requests()
        message = await posted(running, request)
        await running.slack.people.clicks("olga", message, ids.APPROVE)

        assert "may not approve" in await private_message(running, "olga")
