"""The buttons of a message: each click changes the request or is answered privately."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.cancellation.request import State
from bot.cancellation.starter import Starters
from bot.slack import context
from bot.slack.app import UNKNOWN_BUTTON
from bot.slack.context import FAILED
from bot.slack.errors import SlackUnavailable
from bot.slack.values import APPROVE, LET_RUN, REASON
from tests.support.domain import ADA, ALAN, AUTO_CANCEL, EVE, PROJECT, REF, RINA, START, TEAM
from tests.unit.slack.block_text import as_text
from tests.unit.slack.slack_bot import SlackBot, let_run_value, slack_bot


@pytest.fixture
async def bot() -> AsyncIterator[SlackBot]:
    async with slack_bot() as started:
        yield started


# Approve


async def test_approval_starts_the_run(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(ADA, APPROVE, request.id)

    assert (await bot.request()).state is State.APPROVED
    assert bot.runs == [request.id]


async def test_approval_of_another_person_is_refused_with_who_may(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(EVE, APPROVE, request.id)

    assert bot.told == "You may not approve this. <@U0ADA> and <@U0ALAN> may."
    assert (await bot.request()).state is State.AWAITING


async def test_own_approval_never_counts(bot: SlackBot) -> None:
    request = await bot.asks(ADA)
    await bot.clicks(ADA, APPROVE, request.id)

    assert bot.told == "Your own approval does not count. <@U0ALAN> may."
    assert (await bot.request()).state is State.AWAITING


async def test_click_with_the_id_of_a_member_from_another_organization_is_refused(
    bot: SlackBot,
) -> None:
    """By `*` an approver must be a member; the payload says to which organization they belong."""
    bot.restart(replace(AUTO_CANCEL, approvers=replace(AUTO_CANCEL.approvers, everyone=True)))
    request = await bot.asks()
    await bot.clicks(EVE, APPROVE, request.id, team="T0OTHER")

    assert "You may not approve this" in bot.told


async def test_late_click_is_told_who_decided(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(ADA, APPROVE, request.id)
    await bot.clicks(ALAN, APPROVE, request.id)

    assert bot.told.startswith("Your click changed nothing: <@U0ADA> approved this at ")
    assert len((await bot.request()).approvals) == 1


@pytest.mark.parametrize("value", ["", "f" * 32, "x" * 5000])
async def test_approval_of_an_unknown_request_is_answered(bot: SlackBot, value: str) -> None:
    await bot.clicks(ADA, APPROVE, value)

    assert "not in the bot's database" in bot.told


async def test_process_that_is_not_active_saves_no_decision_and_says_so(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(ADA, LET_RUN, let_run_value(request))
    view, views = bot.view, len(bot.slack.views)
    bot.is_active = False
    for action, value in ((APPROVE, request.id), (LET_RUN, let_run_value(request))):
        bot.slack.private.clear()
        await bot.clicks(ADA, action, value)

        assert "was not saved" in bot.told
    answer = await bot.submits(ADA, view, "restore test")

    assert "was not saved" in answer["errors"][REASON]
    assert len(bot.slack.views) == views
    assert (await bot.request()).state is State.AWAITING


async def test_click_whose_rights_slack_does_not_tell_is_told_to_try_again(bot: SlackBot) -> None:
    request = await bot.asks()
    bot.slack.failures["users.info"].append(SlackUnavailable())
    await bot.clicks(ADA, APPROVE, request.id)

    assert "could not check your rights" in bot.told


async def test_slow_click_is_acked_in_time_and_told_how_it_ended(
    bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await bot.asks()
    monkeypatch.setattr(context, "ACK_TIMEOUT", 0.01)
    gate = bot.slack.gates["users.info"] = asyncio.Event()
    await bot.clicks(EVE, APPROVE, request.id, settles=False)
    gate.set()
    await bot.settle()

    first, second = (text for _, _, text in bot.slack.private[-2:])
    assert "It is not certain that your click was saved" in first
    assert "You may not approve this" in second


# Let it run


async def test_let_run_asks_why_and_ends_the_request(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(ADA, LET_RUN, let_run_value(request))
    answer = await bot.submits(ADA, bot.view, "restore test")

    assert not bot.view["blocks"][0]["optional"]
    assert not answer
    ended = await bot.request()
    assert (ended.state, ended.outcome.reason) == (State.DENIED, "restore test")


async def test_let_run_without_a_reason_is_said_at_the_input(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(ADA, LET_RUN, let_run_value(request))
    answer = await bot.submits(ADA, bot.view, " ")

    assert "A reason is needed" in answer["errors"][REASON]
    assert (await bot.request()).state is State.AWAITING


async def test_requester_withdraws_without_a_reason(bot: SlackBot) -> None:
    request = await bot.asks()
    await bot.clicks(RINA, LET_RUN, let_run_value(request))
    answer = await bot.submits(RINA, bot.view, None)

    assert bot.view["blocks"][0]["optional"]
    assert not answer
    assert (await bot.request()).state is State.WITHDRAWN


async def test_withdrawing_says_that_auto_cancel_remains() -> None:
    async with slack_bot(AUTO_CANCEL) as bot:
        await bot.core.list_new()
        request = await bot.asks()
        await bot.clicks(RINA, LET_RUN, let_run_value(request))

        assert bot.view["submit"]["text"] == "Withdraw the request"
        assert "This download will be cancelled at" in as_text(bot.view)


async def test_who_may_not_let_run_sees_no_dialog(bot: SlackBot) -> None:
    request = await bot.asks()
    views = len(bot.slack.views)
    await bot.clicks(EVE, LET_RUN, let_run_value(request))

    assert "You may not let this download run. <@U0ADA> and <@U0ALAN> may." in bot.told
    assert len(bot.slack.views) == views


async def test_click_about_another_request_than_the_open_one_changes_nothing(
    bot: SlackBot,
) -> None:
    old = await bot.asks()
    await bot.clicks(RINA, LET_RUN, let_run_value(old))
    await bot.submits(RINA, bot.view, None)
    bot.core.clock.advance(1)
    new = await bot.asks()
    for request in (old, None):
        await bot.clicks(ADA, LET_RUN, let_run_value(request))

        assert bot.told.startswith("Your click changed nothing: ")
    assert (await bot.request()).id == new.id
    assert (await bot.request()).state is State.AWAITING


async def test_reason_that_comes_after_the_decision_changes_nothing_and_says_so(
    bot: SlackBot,
) -> None:
    request = await bot.asks()
    await bot.clicks(ADA, LET_RUN, let_run_value(request))
    view = bot.view
    await bot.clicks(ALAN, APPROVE, request.id)
    answer = await bot.submits(ADA, view, "restore test")

    assert "Your click changed nothing: <@U0ALAN> approved this" in as_text(answer["view"])
    assert (await bot.request()).state is State.APPROVED


@pytest.mark.parametrize(
    ("starters", "is_readable", "email", "sentence"),
    [
        (None, True, "ada@shop.example", "Atlas has not yet shown everybody who may"),
        (None, False, "ada@shop.example", None),
        (("ADA@shop.example",), True, "ada@shop.example", "You may have started this download"),
        (("dana@shop.example",), True, "ada@shop.example", None),
        (("ada@shop.example",), True, None, None),
    ],
)
async def test_auto_cancel_is_let_run_by_nobody_who_may_have_started_the_download(
    starters: tuple[str, ...] | None, is_readable: bool, email: str | None, sentence: str | None
) -> None:
    async with slack_bot(AUTO_CANCEL) as bot:
        bot.feed_is_readable = is_readable
        await bot.core.list_new()
        if starters:
            read_at = START + timedelta(seconds=25)
            found = {REF.job_id: Starters(read_at=read_at, names=starters)}
            await bot.core.downloads.record_starters(PROJECT, found)
        bot.slack.accounts["U0ADA"]["profile"] = {"email": email}
        await bot.clicks(ADA, LET_RUN, let_run_value())

        if sentence:
            assert sentence in bot.told
            assert not bot.slack.views
        else:
            await bot.submits(ADA, bot.view, "restore test")
            decision = (await bot.core.download()).let_run
            assert decision
            assert (decision.by, decision.reason) == ("U0ADA", "restore test")


async def test_secret_in_the_reason_of_let_it_run_is_removed_before_it_is_stored(
    bot: SlackBot,
) -> None:
    request = await bot.asks(RINA)
    await bot.clicks(ADA, LET_RUN, let_run_value(request))
    await bot.submits(ADA, bot.view, "it used xapp-1-A02-99-abc")

    assert (await bot.request()).outcome.reason == "it used [removed]"


@asynccontextmanager
async def received_answers() -> AsyncIterator[tuple[str, list[dict[str, object]]]]:
    """Serve a response URL; yield it, and the list of what was posted to it."""
    answers: list[dict[str, object]] = []

    async def receive(request: web.Request) -> web.Response:
        answers.append(await request.json())
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/", receive)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), answers


# All other payloads


PERSON = {"user": {"id": "U0RINA", "team_id": TEAM}, "team": {"id": TEAM}}


@pytest.mark.parametrize(
    "payload",
    [
        {
            "type": "block_actions",
            "actions": [{"type": "checkboxes", "action_id": "other", "block_id": "b"}],
        },
        {"type": "view_submission", "view": {"type": "modal", "callback_id": "other"}},
        {"type": "view_closed", "view": {"type": "modal", "callback_id": "cancel_restore"}},
        {"type": "shortcut", "callback_id": "other"},
        {"type": "message_action", "callback_id": "other"},
        {"type": "block_suggestion", "action_id": "other", "block_id": "b", "value": ""},
        {"type": "event_callback", "event": {"type": "app_home_opened", "user": "U0RINA"}},
        {"type": "a_new_one"},
        {},
    ],
    ids=lambda payload: str(payload.get("type")),
)
async def test_payload_without_a_listener_is_acknowledged(
    bot: SlackBot, payload: dict[str, object]
) -> None:
    assert not await bot.send({**PERSON, **payload})
    assert not bot.slack.private


async def test_click_on_a_button_of_another_version_is_answered(bot: SlackBot) -> None:
    await bot.clicks(ADA, "cancel_restore_keep", "1")

    assert bot.told == UNKNOWN_BUTTON


async def test_bug_in_a_listener_is_told_to_the_person(
    bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = await bot.opens(RINA)
    monkeypatch.setattr(type(bot.context), "check_active", None)
    await bot.submits(RINA, view)

    assert bot.slack.private[-1] == ("chat.postMessage", "U0RINA", f"text: {FAILED}")


async def test_private_answer_by_a_response_url_is_ephemeral_and_replaces_no_message(
    bot: SlackBot,
) -> None:
    async with received_answers() as (url, answers):
        await bot.context.tell({"response_url": url}, "No.")

    (answer,) = answers
    assert answer == {"text": "No.", "response_type": "ephemeral", "replace_original": False}
    assert bot.slack.private == []


async def test_private_answer_takes_the_next_way_where_one_is_closed(bot: SlackBot) -> None:
    bot.slack.failures["chat.postEphemeral"].append(SlackUnavailable())
    await bot.clicks(ADA, APPROVE, "unknown")

    method, channel, _ = bot.slack.private[-1]
    assert (method, channel) == ("chat.postMessage", "U0ADA")
