"""The main paths of `serve` as a process."""

from tests.support.serving import CANCELLED, Serving, buttons, payload

ADA, ABE, RINA = "U0ADA00001", "U0ABE00001", "U0RINA0001"
ONE_APPROVAL = {"BOT_APPROVALS": "1", "BOT_APPROVERS": f"{ADA},{ABE}"}


async def test_new_download_is_announced_cancelled_with_two_clicks_and_confirmed(
    bot: Serving,
) -> None:
    await bot.start()
    job = bot.download()
    message = await bot.message(job, "announced")
    assert buttons(message) == ["Cancel this download (danger)"]
    first = bot.text(message).splitlines()[0]

    await bot.asks("rina", job)
    message = await bot.message(job, "cancelled")

    assert "is being downloaded. Link expected" in first
    assert "Atlas confirms" in bot.text(message).splitlines()[0]
    assert "Atlas confirms" in await bot.reply(job, "cancelled")
    assert bot.notified("Atlas confirms") == {RINA}
    assert bot.deletes(job) == 1
    assert job.cancelled
    assert buttons(message) == []
    assert await bot.events(job) == CANCELLED


async def test_request_that_needs_an_approval_runs_after_another_person_approves(
    bot: Serving,
) -> None:
    bot.settings |= ONE_APPROVAL
    await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    message = await bot.message(job, "awaiting")
    assert buttons(message) == ["Approve cancelling (danger)", "Let it run"]
    await bot.reply(job, "asks to cancel")
    assert bot.notified("asks to cancel") == {ADA, ABE, RINA}
    assert bot.deletes(job) == 0

    await bot.slack.people.clicks("rina", message, "cancel_restore_approve")
    await bot.told("rina", "may")
    assert payload(await bot.message(job))["state"] == "awaiting"

    await bot.approves("ada", job)
    message = await bot.message(job, "cancelled")

    assert job.cancelled
    assert await bot.reply(job, "approves")
    assert await bot.events(job) == CANCELLED
