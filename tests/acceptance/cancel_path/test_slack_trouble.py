"""Slack's own trouble: late triggers, dialogs closed meanwhile, posts that fail or repeat."""

from __future__ import annotations

import pytest

from bot.sandbox.atlas import Fault as AtlasFault
from bot.sandbox.atlas import Kind
from bot.sandbox.slack import Fault
from tests.acceptance.house import LIVE, RUNNING, House, is_card

JOB = RUNNING[1]

POSTS = {
    "429": Fault(kind="ratelimited", seconds=1.0),
    "cut before": Fault(kind="reset_before"),
    "cut after": Fault(kind="reset_after"),
}

MANY = (
    Fault(kind="status", status=503),
    Fault(kind="reset_after"),
    Fault(kind="status", status=500),
    Fault(kind="error", code="fatal_error"),
    Fault(kind="reset_after"),
    Fault(kind="error", code="service_unavailable"),
    Fault(kind="garbage"),
    Fault(kind="ratelimited", seconds=1.0),
)


@pytest.mark.parametrize("name", POSTS)
async def test_a_post_that_fails_once_still_gives_one_card_and_one_reply(
    house: House, name: str
) -> None:
    house.slack.faults.add("chat.postMessage", POSTS[name])
    await house.asks(RUNNING)
    ending = await house.ends(JOB, seconds=20)

    assert ending.state == "cancelled"
    cards = [message for message in house.slack.state.messages("ops") if is_card(message)]
    assert len(cards) == 1
    assert len(house.slack.state.replies(cards[0])) == 1
    ids = {c.args.get("client_msg_id") for c in house.slack.called("chat.postMessage")}
    assert len(ids) == 2
    assert None not in ids


async def test_on_a_bad_day_every_request_still_has_one_card_and_one_reply(house: House) -> None:
    for fault in MANY:
        house.slack.faults.add("chat.postMessage", fault)
    jobs = [house.new_job() for _ in range(5)]
    for job in jobs:
        await house.asks(job)
    for job in jobs:
        ending = await house.ends(job[1], seconds=30)

        assert ending.state == "cancelled"
        assert len(house.slack.state.replies(ending.message)) == 1
    assert len([message for message in house.slack.state.messages("ops") if is_card(message)]) == 5


@pytest.mark.parametrize("code", ["expired_trigger_id", "trigger_expired", "invalid_trigger_id"])
async def test_a_trigger_that_is_too_old_is_said_privately(house: House, code: str) -> None:
    house.slack.faults.add("views.open", Fault(kind="error", code=code))
    await house.types("rina", " ".join(RUNNING))
    (said,) = await house.whispered("rina")

    assert "please type the command again" in said
    assert house.slack.state.view_of("rina") is None


@pytest.mark.parametrize("kind", ["reset_before", "status", "garbage"])
async def test_a_slack_that_opens_no_dialog_is_said_privately(house: House, kind: str) -> None:
    house.slack.faults.add("views.open", Fault(kind=kind))  # type: ignore[arg-type]  # one of its
    await house.types("rina", " ".join(RUNNING))
    (said,) = await house.whispered("rina")

    assert "try again" in said


@pytest.mark.parametrize("code", ["not_found", "hash_conflict"])
async def test_an_update_that_comes_too_late_is_no_trouble(house: House, code: str) -> None:
    house.slack.faults.add("views.update", Fault(kind="error", code=code))
    await house.types("rina", " ".join(RUNNING))
    await house.slack.until(lambda: bool(house.slack.called("views.update")))
    before = house.slack.state.view_of("rina")
    await house.types("rina", " ".join(LIVE))
    view = await house.dialog("rina", before)

    assert LIVE[1] in house.slack.state.text_of(view)
    assert house.slack.state.ephemerals("rina") == []


async def test_an_update_that_fails_once_is_repeated(house: House) -> None:
    house.slack.faults.add("views.update", Fault(kind="reset_before"))
    view = await house.looks_up(RUNNING)

    assert view["submit"]


async def test_whoever_cannot_be_known_may_do_nothing_yet(house: House) -> None:
    """`users.info` fails: the dialog says so with a way to try again, and nothing is asked."""
    house.slack.faults.add("users.info", Fault(kind="status", status=503), times=3)
    view = await house.looks_up(RUNNING)
    shown = house.slack.state.text_of(view)

    assert not view["submit"]
    assert "could not be checked who may do this, and nothing was done" in shown
    assert "[Try again]" in shown


async def test_a_slow_directory_is_told_in_time(house: House) -> None:
    house.slack.faults.add("users.info", Fault(kind="delay", seconds=9.0), times=3)
    view = await house.looks_up(RUNNING, seconds=20)

    assert not view["submit"]
    assert "could not be checked who may do this" in house.slack.state.text_of(view)


async def test_a_channel_that_cannot_be_looked_up_does_not_stop_a_cancellation(
    house: House,
) -> None:
    """Without approvals the card may be tried where the command was typed."""
    house.slack.faults.add("conversations.info", Fault(kind="status", status=503), times=3)
    await house.asks(RUNNING)

    assert (await house.ends(JOB)).state == "cancelled"


async def test_a_slack_that_is_away_for_a_while_gets_the_outcome_later(house: House) -> None:
    """The cancellation does not wait for Slack; the card comes as soon as Slack is back."""
    view = await house.looks_up(RUNNING)
    house.slack.faults.add("*", Fault(kind="status", status=503), times=2)
    await house.slack.people.submits("rina", view, {"reason": ""})
    ending = await house.ends(JOB, seconds=20)

    assert ending.state == "cancelled"
    assert len([message for message in house.slack.state.messages("ops") if is_card(message)]) == 1


async def test_a_socket_that_breaks_is_opened_again(house: House) -> None:
    await house.slack.sockets.cut()
    await house.slack.until(lambda: bool(house.slack.sockets.connections), 30)
    await house.asks(RUNNING, AtlasFault(kind=Kind.FORGET_NONCES, method="DELETE"))

    assert (await house.ends(JOB)).state == "cancelled"
