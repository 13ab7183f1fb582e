"""The dialog of a job: it opens at once, its submit is one request, and refusals are said in it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.cancellation.errors import CannotCancel
from bot.cancellation.request import State
from bot.slack import context
from bot.slack.errors import ContentRefused, DialogExpired, SlackError, SlackUnavailable
from bot.slack.values import ALONE, OPEN, REASON
from tests.support.clock import SimulatedLoop, simulate
from tests.support.domain import ADA, EVE, GIL, POLICY, REF, RINA
from tests.support.fake_atlas import CANCELLED, GET
from tests.unit.slack.block_text import as_text
from tests.unit.slack.fake_slack import ARCHIVED, DIRECT, IDENTITY, OTHER
from tests.unit.slack.slack_bot import SlackBot, let_run_value, slack_bot

NO_CHANNEL = replace(POLICY, channel=None)
ALONE_IS_ENOUGH = replace(NO_CHANNEL, approvals=0)


@pytest.fixture
async def bot() -> AsyncIterator[SlackBot]:
    async with slack_bot() as started:
        yield started


# How it opens


async def test_dialog_opens_before_atlas_and_slack_say_anything(bot: SlackBot) -> None:
    bot.core.atlas.gates[GET] = bot.slack.gates["users.info"] = asyncio.Event()
    opening = asyncio.create_task(bot.opens(RINA))
    async with asyncio.timeout(5):
        while not bot.slack.views:  # noqa: ASYNC110 - the fake sets no event
            await asyncio.sleep(0.001)
    first = as_text(bot.view)
    bot.slack.gates["users.info"].set()
    await opening

    assert "Looking up …" in first
    assert "Looking up …" not in as_text(bot.view)


async def test_button_of_a_download_opens_its_dialog(bot: SlackBot) -> None:
    await bot.clicks(RINA, OPEN, let_run_value())

    assert REF.job_id in as_text(bot.view)


async def test_button_of_a_download_shows_no_job_to_who_may_not_ask(bot: SlackBot) -> None:
    await bot.clicks(EVE, OPEN, let_run_value())

    shown = as_text(bot.view)
    assert "You may not ask to cancel a download here." in shown
    assert REF.job_id not in shown


@pytest.mark.parametrize("value", ["", "nonsense", "a:b:c:d"])
async def test_button_with_another_value_is_answered(bot: SlackBot, value: str) -> None:
    await bot.clicks(RINA, OPEN, value)

    assert "not in the bot's database" in bot.told


async def test_dialog_that_did_not_open_is_said_privately(bot: SlackBot) -> None:
    bot.slack.failures["views.open"].append(DialogExpired("expired_trigger_id"))
    await bot.types(RINA, REF.job_id)

    assert DialogExpired.sentence in bot.told


def test_dialog_is_updated_when_slack_answers_again_soon() -> None:
    async def open_while_slack_is_silent(_loop: SimulatedLoop) -> str:
        async with slack_bot() as bot:
            gate = bot.core.atlas.gates[GET] = asyncio.Event()
            opening = asyncio.create_task(bot.opens(RINA))
            await asyncio.sleep(1)
            bot.slack.outage = SlackUnavailable()
            gate.set()
            await asyncio.sleep(0.5)
            bot.slack.outage = None
            return as_text(await opening)

    assert REF.job_id in simulate(open_while_slack_is_silent)


@pytest.mark.parametrize("error", [SlackUnavailable(), ContentRefused("invalid_blocks")])
def test_dialog_that_slack_does_not_update_is_said_privately(error: SlackError) -> None:
    async def open_while_slack_updates_nothing(_loop: SimulatedLoop) -> str:
        async with slack_bot() as bot:
            bot.slack.failures["views.update"] += [error, error]
            await bot.opens(RINA)
            return bot.told

    assert simulate(open_while_slack_updates_nothing) == str(error)


async def test_dialog_that_the_person_has_closed_is_no_error(bot: SlackBot) -> None:
    bot.slack.failures["views.update"].append(DialogExpired("not_found"))
    await bot.opens(RINA)

    assert not bot.slack.private


async def test_bug_in_the_look_up_is_said_in_the_dialog(bot: SlackBot) -> None:
    bot.core.atlas.faults[GET] = RuntimeError("a bug")

    assert "Something went wrong in the bot." in as_text(await bot.opens(RINA))


def test_atlas_that_is_slow_is_said_within_15_seconds() -> None:
    async def open_while_atlas_is_silent(loop: SimulatedLoop) -> tuple[str, float]:
        async with slack_bot() as bot:
            bot.core.atlas.gates[GET] = asyncio.Event()
            bot.slack.failures["views.update"].append(SlackUnavailable())
            began = loop.time()
            return as_text(await bot.opens(RINA)), loop.time() - began

    shown, seconds = simulate(open_while_atlas_is_silent)

    assert context.SLOW_ATLAS in shown
    assert seconds < 15


# What a submit does


async def test_submit_is_one_request_also_when_it_comes_twice(bot: SlackBot) -> None:
    view = await bot.opens(RINA)
    answers = [await bot.submits(RINA, view) for _ in range(2)]
    (request,) = await bot.requests()

    assert answers == [{}, {}]
    assert (request.state, request.requester, request.key) == (State.AWAITING, "U0RINA", view["id"])
    assert (request.reason, request.asked_in) == ("wrong cluster", "C0DEV")
    assert request.shown == (await bot.core.download()).shown
    assert not bot.runs


async def test_dialog_that_was_opened_before_a_restart_is_submitted(bot: SlackBot) -> None:
    view = await bot.opens(RINA)
    bot.restart(replace(POLICY, approvals=0))

    assert not await bot.submits(RINA, view)
    assert bot.runs == [(await bot.request()).id]


async def test_dialog_says_that_a_submit_cancels_where_no_approvals_are_wanted_any_more(
    bot: SlackBot,
) -> None:
    await bot.submits(RINA, await bot.opens(RINA))
    bot.restart(replace(POLICY, approvals=0))

    view = await bot.opens(GIL)

    assert "A submit changes nothing" not in as_text(view)
    assert view["submit"]["text"] == "Cancel the download"
    assert not await bot.submits(GIL, view)
    assert bot.runs == [(await bot.request()).id]


async def test_acting_alone_starts_the_run(bot: SlackBot) -> None:
    view = await bot.opens(GIL)
    await bot.submits(GIL, view, alone=True)

    assert view["submit"]["text"] == "Submit"
    assert (await bot.request()).alone == "U0GIL"
    assert bot.runs


async def test_dialog_whose_request_has_ended_says_so_where_it_is_submitted_again(
    bot: SlackBot,
) -> None:
    view = await bot.opens(RINA)
    await bot.submits(RINA, view)
    (waiting,) = await bot.requests()
    await bot.core.requests.let_run(
        REF, waiting.id, ADA, POLICY, reason="a test", feed_is_readable=True
    )
    answer = await bot.submits(RINA, view)

    assert answer["response_action"] == "update"
    assert "Your click changed nothing: <@U0ADA> let this download run" in as_text(answer["view"])
    assert len(await bot.requests()) == 1


@pytest.mark.parametrize("is_ended", [False, True])
async def test_dialog_that_is_submitted_again_with_the_box_acts_alone(
    bot: SlackBot, *, is_ended: bool
) -> None:
    """It stays open where its acknowledgement was lost."""
    view = await bot.opens(GIL)
    await bot.submits(GIL, view)
    if is_ended:
        (waiting,) = await bot.requests()
        await bot.core.requests.let_run(
            REF, waiting.id, ADA, POLICY, reason="a test", feed_is_readable=True
        )
    for _ in range(2):
        assert await bot.submits(GIL, view, alone=True) == {}

    found = {item.state: item.alone for item in await bot.requests()}
    assert found == {State.APPROVED: "U0GIL", **({State.DENIED: None} if is_ended else {})}


async def test_box_with_another_option_is_no_acting_alone(bot: SlackBot) -> None:
    await bot.submits(GIL, await bot.opens(GIL), alone="other")

    assert (await bot.request()).alone is None


async def test_approver_who_submits_while_another_asked_approves(bot: SlackBot) -> None:
    await bot.asks(RINA)
    view = await bot.opens(ADA)
    await bot.submits(ADA, view)

    assert view["submit"]["text"] == "Approve cancelling"
    assert (await bot.request()).state is State.APPROVED
    assert "You approved what <@U0RINA> asked." in bot.told


async def test_second_person_is_told_who_asked_and_where(bot: SlackBot) -> None:
    await bot.asks(RINA)
    await bot.post_messages()
    await bot.submits(GIL, await bot.opens(GIL))

    assert "<@U0RINA> asked to cancel this download" in bot.told
    assert "<https://slack.example/C0OPS|Its message>" in bot.told
    assert len(await bot.requests()) == 1


@pytest.mark.parametrize("is_posted", [True, False])
async def test_who_asks_from_elsewhere_is_told_where_the_message_is(
    bot: SlackBot, *, is_posted: bool
) -> None:
    await bot.core.list_new()
    if is_posted:
        await bot.post_messages()
    await bot.submits(RINA, await bot.opens(RINA))

    where = "https://slack.example/C0OPS" if is_posted else "<#C0OPS>"
    assert bot.slack.private == [
        ("chat.postEphemeral", "C0DEV", f"text: What happens with this download: {where}")
    ]


def test_who_asks_from_elsewhere_gets_the_link_of_a_message_that_is_posted_meanwhile() -> None:
    async def ask_before_it_is_posted(_loop: SimulatedLoop) -> str:
        async with slack_bot() as bot:
            view = await bot.opens(RINA)
            await bot.submits(RINA, view, settles=False)
            await asyncio.sleep(3)
            await bot.post_messages()
            await bot.settle()
            return bot.told

    told = simulate(ask_before_it_is_posted)

    assert told == "What happens with this download: https://slack.example/C0OPS"


async def test_secret_in_a_reason_is_removed_before_it_is_stored(bot: SlackBot) -> None:
    await bot.submits(RINA, await bot.opens(RINA), "it used xapp-1-A02-99-abc")

    assert (await bot.request()).reason == "it used [removed]"


# What a submit is refused with


@pytest.mark.parametrize(
    ("person", "reason", "alone", "block", "sentence"),
    [
        (RINA, None, False, REASON, "A reason is needed"),
        (RINA, "\u200b ", False, REASON, "A reason is needed"),
        (GIL, "", True, REASON, "A reason is needed"),
        (RINA, "now", True, ALONE, "You may not cancel without approval"),
    ],
)
async def test_what_the_person_can_mend_is_said_at_the_input(
    person: object, reason: str | None, alone: bool, block: str, sentence: str
) -> None:
    async with slack_bot(replace(POLICY, require_reason=True)) as bot:
        asker = GIL if person is GIL else RINA
        answer = await bot.submits(asker, await bot.opens(asker), reason, alone=alone)

        assert answer["response_action"] == "errors"
        assert sentence in answer["errors"][block]
        assert not await bot.requests()


@pytest.mark.parametrize("metadata", ["", "{}", '{"shown": {}}', '{"shown": {"id": "1"}}'])
async def test_dialog_that_shows_no_job_asks_for_nothing(bot: SlackBot, metadata: str) -> None:
    view = await bot.opens(RINA)
    answer = await bot.submits(RINA, view | {"private_metadata": metadata})

    assert CannotCancel.sentence in as_text(answer["view"])
    assert not await bot.requests()


async def test_lost_right_is_said_with_who_has_it(bot: SlackBot) -> None:
    view = await bot.opens(RINA)
    answer = await bot.submits(EVE, view)  # the metadata of a view is no right

    assert answer["response_action"] == "update"
    assert "You may not ask to cancel a download here. <@U0ADA>" in as_text(answer["view"])
    assert "submit" not in answer["view"]
    assert not await bot.requests()


async def test_submit_of_an_older_dialog_is_refused_where_the_project_is_read_only_now(
    bot: SlackBot,
) -> None:
    view = await bot.opens(RINA)
    bot.restart(replace(POLICY, read_only=True))
    answer = await bot.submits(RINA, view)

    assert "only watches" in as_text(answer["view"])
    assert not await bot.requests()


async def test_submit_after_the_end_of_the_download_is_refused(bot: SlackBot) -> None:
    await bot.core.list_new()
    view = await bot.opens(RINA)
    bot.core.clock.advance(1)
    await bot.core.list_new(cancelled=True)
    answer = await bot.submits(RINA, view)

    assert "has not ended" in as_text(answer["view"])


async def test_process_without_the_lease_saves_nothing_and_says_so(bot: SlackBot) -> None:
    view = await bot.opens(RINA)
    bot.is_active = False
    answer = await bot.submits(RINA, view)

    assert "was not saved" in answer["errors"][REASON]
    assert not await bot.requests()


async def test_slack_that_does_not_say_who_acts_is_said_and_the_dialog_stays(
    bot: SlackBot,
) -> None:
    view = await bot.opens(RINA)
    bot.core.clock.advance(601)
    bot.slack.failures["users.info"].append(SlackUnavailable())
    answer = await bot.submits(RINA, view)

    assert "could not check your rights" in answer["errors"][REASON]
    assert not await bot.submits(RINA, view)


async def test_slow_submit_is_said_to_be_uncertain_and_is_one_request_when_repeated(
    bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "ACK_TIMEOUT", 0.01)
    view = await bot.opens(RINA)
    bot.core.clock.advance(31)
    gate = bot.slack.gates["users.info"] = asyncio.Event()
    answer = await bot.submits(RINA, view, settles=False)
    gate.set()
    await bot.settle()
    monkeypatch.setattr(context, "ACK_TIMEOUT", 2.5)

    assert "Clicking twice is safe" in answer["errors"][REASON]
    assert not await bot.submits(RINA, view)
    assert len(await bot.requests()) == 1


# Where the message is


@pytest.mark.parametrize(
    ("scopes", "channel", "place"),
    [
        ("", "C0DEV", "C0DEV"),
        ("chat:write.public", OTHER, OTHER),
        ("", OTHER, "U0RINA"),
        ("chat:write.public", DIRECT, "U0RINA"),
        ("", ARCHIVED, "U0RINA"),
        ("", "C0UNKNOWN", "U0RINA"),
    ],
)
async def test_message_goes_to_the_channel_of_the_command_else_to_the_requester(
    scopes: str, channel: str, place: str
) -> None:
    async with slack_bot(ALONE_IS_ENOUGH) as bot:
        bot.identity = replace(IDENTITY, scopes=frozenset({scopes}))
        bot.restart(ALONE_IS_ENOUGH)
        await bot.submits(RINA, await bot.opens(RINA, channel))

        assert (await bot.core.download()).channel == place


@pytest.mark.parametrize("channel", [OTHER, ARCHIVED, DIRECT, "C0UNKNOWN"])
async def test_dialog_says_how_to_invite_the_bot_where_nobody_could_approve(channel: str) -> None:
    async with slack_bot(NO_CHANNEL) as bot:
        view = await bot.opens(RINA, channel)

        assert "`/invite`" in as_text(view)
        assert "submit" not in view


async def test_job_that_cannot_be_cancelled_is_shown_also_where_the_bot_may_not_post() -> None:
    async with slack_bot(NO_CHANNEL) as bot:
        bot.core.atlas.jobs_now[REF] = CANCELLED
        view = await bot.opens(RINA, OTHER)

        assert "The download has ended: cancelled." in as_text(view)
        assert "submit" not in view


@pytest.mark.parametrize("approvals", [0, 1])
async def test_channel_that_slack_does_not_describe_holds_up_approvals_alone(
    approvals: int,
) -> None:
    async with slack_bot(replace(NO_CHANNEL, approvals=approvals)) as bot:
        bot.slack.failures["conversations.info"].append(SlackUnavailable())
        view = await bot.opens(RINA)

        assert ("submit" in view) is (approvals == 0)
        assert (SlackUnavailable.sentence in as_text(view)) is (approvals == 1)
