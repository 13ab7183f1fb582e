"""What people type, and the private answers."""

import pytest

from tests.support.serving import Serving, payload

ADA = "U0ADA00001"


async def test_empty_command_lists_the_downloads_each_with_a_button(bot: Serving) -> None:
    await bot.start()
    job, other = bot.older(), bot.download()
    await bot.types("rina", "")

    listed = await bot.told("rina", "prod-eu")

    assert listed.count("[Cancel this download]") == 2
    assert listed.index(other.id) < listed.index(job.id)  # newest first
    (shown,) = bot.slack.state.ephemerals("rina")
    await bot.slack.people.clicks(
        "rina", shown, "cancel_restore_open", value=value_of(shown, job.id)
    )
    assert job.id in bot.text(await bot.dialog("rina"))


def value_of(shown: dict[str, object], job_id: str) -> str:
    blocks = shown["blocks"]
    assert isinstance(blocks, list)
    values = [
        str(element.get("value"))
        for block in blocks
        for element in [*block.get("elements", []), block.get("accessory") or {}]
    ]
    return next(value for value in values if job_id in value)


async def test_list_of_nothing_says_so(bot: Serving) -> None:
    await bot.start()
    await bot.types("rina", "list")

    await bot.told("rina", "No download is running")


@pytest.mark.parametrize(
    "form",
    [
        "prod-eu {job}",
        "shop-prod prod-eu {job}",
        "5b6212af90dc76637950a2c6 prod-eu {job}",
        "{job}",
        "<https://cloud.mongodb.com/api/atlas/v2/groups/5b6212af90dc76637950a2c6/clusters/prod-eu/backup/restoreJobs/{job}>",
    ],
)
async def test_every_form_opens_the_dialog_of_the_job(bot: Serving, form: str) -> None:
    await bot.start()
    job = bot.download()
    await bot.types("rina", form.format(job=job.id))

    view = await bot.dialog("rina")

    assert job.id in bot.text(view)
    assert view["callback_id"] == "cancel_restore"
    assert view["submit"]["text"] == "Cancel the download"
    assert view["close"]["text"] == "Go back"


async def test_other_cluster_than_the_jobs_is_refused_with_the_right_one(bot: Serving) -> None:
    await bot.start()
    job = bot.download("prod-us")
    await bot.types("rina", f"prod-eu {job.id}")

    view = await bot.dialog("rina")

    assert "prod-us" in bot.text(view)
    assert view.get("submit") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("help", "/cancel-restore"),
        ("cancle", "cancle"),
        ("prod-eu 12", "12"),
        ("prod-eu x y z", "/cancel-restore"),
        ("cancel", "/cancel-restore"),
        ("🙈", "/cancel-restore"),
        ("https://example.com/", "/cancel-restore"),
    ],
)
async def test_anything_else_gets_a_private_answer(bot: Serving, text: str, answer: str) -> None:
    await bot.start()
    await bot.types("rina", text)

    await bot.told("rina", answer)


async def test_job_that_cannot_be_cancelled_has_a_reason_and_no_submit(bot: Serving) -> None:
    await bot.start()
    await bot.types("rina", "prod-eu 65f0a1c2d3e4f5a6b7c80104")

    view = await bot.dialog("rina")

    assert view.get("submit") is None


async def test_request_from_elsewhere_gets_the_link_of_the_message(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    await bot.message(job)
    await bot.types("rina", job.id, channel="shared")
    await bot.dialog("rina")
    assert (await bot.submits("rina", None, reason="by mistake")).ok

    await bot.message(job, "cancelled")

    await bot.told("rina", "What happens with this download")


async def test_without_a_channel_the_message_goes_to_the_channel_of_the_command(
    bot: Serving,
) -> None:
    bot.settings |= {"BOT_CHANNEL": ""}
    await bot.start()
    job = bot.download()
    await bot.types("rina", job.id, channel="shared")
    await bot.dialog("rina")
    assert (await bot.submits("rina", None, reason="by mistake")).ok

    await bot.message(job, "cancelled", channel="shared")


async def test_without_a_channel_where_it_may_not_post_the_requester_gets_it_directly(
    bot: Serving,
) -> None:
    bot.settings |= {"BOT_CHANNEL": ""}
    await bot.start()
    job = bot.download()
    await bot.types("rina", job.id, channel="quiet")
    await bot.dialog("rina")
    assert (await bot.submits("rina", None, reason="by mistake")).ok

    await bot.message(job, "cancelled", channel=bot.slack.state.dm("rina"))


async def test_with_approvals_where_it_may_not_post_the_dialog_says_how_to_invite_it(
    bot: Serving,
) -> None:
    bot.settings |= {"BOT_CHANNEL": "", "BOT_APPROVALS": "1", "BOT_APPROVERS": ADA}
    await bot.start()
    job = bot.download()
    await bot.types("rina", job.id, channel="quiet")
    view = await bot.dialog("rina")
    assert "/invite" in bot.text(view)
    assert not job.cancelled


async def test_read_only_project_lists_and_cancels_nothing(bot: Serving) -> None:
    bot.settings |= {"BOT_READ_ONLY": "true"}
    await bot.start()
    job = bot.download()
    message = await bot.message(job, "announced")
    assert not [block for block in message["blocks"] if block["type"] == "actions"]
    await bot.types("rina", job.id)

    assert (await bot.dialog("rina")).get("submit") is None
    assert payload(message)["request"] == ""
