"""The slash command: what each text is answered with."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.atlas.errors import AtlasUnavailable
from bot.slack import command
from bot.slack.values import OPEN
from tests.support.domain import EVE, POLICY, REF, RINA, users
from tests.support.fake_atlas import CANCELLED, GET
from tests.unit.slack.block_text import as_text
from tests.unit.slack.slack_bot import SlackBot, is_job_dialog, slack_bot


@pytest.fixture
async def bot() -> AsyncIterator[SlackBot]:
    async with slack_bot() as started:
        yield started


async def test_help_is_the_answer_itself(bot: SlackBot) -> None:
    answer = await bot.types(RINA, "help", command="/stop-copies")

    assert answer["response_type"] == "ephemeral"
    assert "`/stop-copies prod-eu" in answer["text"]


async def test_other_text_is_answered_with_the_problem_the_nearest_form_and_an_example(
    bot: SlackBot,
) -> None:
    answer = await bot.types(RINA, f"{REF.job_id} <prod_eu>")

    assert answer["text"].startswith("The job's id comes last, after its cluster. Type ")
    assert "`/cancel-restore CLUSTER JOB_ID`, for example `/cancel-restore " in answer["text"]


@pytest.mark.parametrize("text", ["", "list", "prod-eu", "list PROD-EU", "cancel"])
async def test_list_has_a_button_for_each_download(bot: SlackBot, text: str) -> None:
    assert not await bot.types(RINA, text)

    method, channel, shown = bot.slack.private[-1]
    assert (method, channel) == ("chat.postEphemeral", "C0DEV")
    assert shown.count(f"danger {OPEN}=") == 1
    assert ("Leave “cancel” out" in shown) is (text == "cancel")


async def test_list_says_that_nothing_runs(bot: SlackBot) -> None:
    bot.core.atlas.jobs_now[REF] = CANCELLED
    await bot.types(RINA, "")

    assert "No download is running in shop." in bot.told


@pytest.mark.parametrize("text", ["", "prod-eu"])
async def test_who_may_not_ask_is_told_who_may(bot: SlackBot, text: str) -> None:
    await bot.types(EVE, text)

    assert "<@U0RINA>" in bot.told
    assert "You may not ask" in bot.told


async def test_list_that_takes_long_is_announced_and_follows(
    bot: SlackBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "NOTICE_AFTER", 0.0)
    bot.core.atlas.gates["prod-eu"] = asyncio.Event()
    typing = asyncio.create_task(bot.types(RINA, ""))
    async with asyncio.timeout(5):
        while not bot.slack.private:  # noqa: ASYNC110 - the fake sets no event
            await asyncio.sleep(0.001)
    notice = bot.told
    bot.core.atlas.gates["prod-eu"].set()
    await typing

    assert notice == command.STILL_READING
    assert "1 download is running" in bot.told


@pytest.mark.parametrize(
    "text",
    [REF.job_id, f"prod-eu {REF.job_id}", f"shop prod-eu {REF.job_id}", f"cancel {REF.job_id}"],
)
async def test_job_opens_its_dialog(bot: SlackBot, text: str) -> None:
    assert not await bot.types(RINA, text)

    assert is_job_dialog(bot.view)
    assert f"job {REF.job_id}" in as_text(bot.view)
    assert bot.view["submit"]["text"] == "Ask for approval"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"eu-west {REF.job_id}", "belongs to the cluster `prod-eu`, not to `eu-west`"),
        ("5b622f7087d9d6039fafe03f", "No cluster of shop has a download with this job id"),
        (f"bank prod-eu {REF.job_id}", "no project “bank” that you may use. Projects: shop."),
    ],
)
async def test_dialog_says_why_it_shows_no_job(bot: SlackBot, text: str, sentence: str) -> None:
    await bot.types(RINA, text)

    assert sentence in as_text(bot.view)
    assert "submit" not in bot.view


async def test_dialog_of_somebody_who_may_not_ask_says_who_may(bot: SlackBot) -> None:
    view = await bot.opens(EVE)

    assert "You may not ask" in as_text(view)
    assert "<@U0ADA>" in as_text(view)
    assert "prod-eu" not in as_text(view)


async def test_approver_and_person_of_break_glass_may_look_and_ask() -> None:
    policy = replace(POLICY, requesters=users("U0OTHER"), break_glass=users("U0EVE"))
    async with slack_bot(policy) as bot:
        view = await bot.opens(EVE)

        assert view["submit"]["text"] == "Submit"


async def test_atlas_that_does_not_answer_is_said_in_the_dialog(bot: SlackBot) -> None:
    bot.core.atlas.faults[GET] = AtlasUnavailable()
    view = await bot.opens(RINA)

    assert "submit" not in view
    assert "Atlas" in as_text(view)


async def test_other_restore_is_shown_without_submit(bot: SlackBot) -> None:
    bot.core.atlas.jobs_now[REF] = {"deliveryType": "automated"}
    view = await bot.opens(RINA)

    assert "submit" not in view
    assert "automated restore into a cluster" in as_text(view)
