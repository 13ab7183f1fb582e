"""Auto-cancel: at its time a download that nobody let run is cancelled."""

import asyncio

from bot.sandbox.atlas import Actor
from tests.support.serving import CANCELLED, LET_RUN, Serving, buttons, payload

ADA, ABE, RINA = "U0ADA00001", "U0ABE00001", "U0RINA0001"
SETTINGS = {"BOT_APPROVALS": "1", "BOT_APPROVERS": f"{ADA},{ABE}", "BOT_APPROVAL_TTL": "600"}


def after(seconds: int) -> dict[str, str]:
    return SETTINGS | {"BOT_AUTO_CANCEL_AFTER": str(seconds)}


async def test_download_that_nobody_lets_run_is_cancelled_at_its_time(bot: Serving) -> None:
    bot.settings |= after(3)
    older = bot.older()
    await bot.start()
    job = bot.download()
    message = await bot.message(job)
    first = bot.text(message).splitlines()[0]
    assert payload(message)["state"] == "auto_cancel"
    assert buttons(message) == ["Cancel this download (danger)", "Let it run"]
    assert "unless somebody lets it run" in first
    assert bot.notified("unless somebody lets it run") == {ADA, ABE}

    await bot.message(job, "cancelled")

    await bot.reply(job, "Atlas confirms it")
    assert bot.notified("Atlas confirms it") == {ADA, ABE}
    assert await bot.events(job) == CANCELLED
    assert payload(await bot.message(older))["state"] == "announced"
    assert not older.cancelled


async def test_waiting_request_is_approved_at_the_time(bot: Serving) -> None:
    bot.settings |= after(6)
    await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    assert "by itself at" in bot.text(await bot.message(job, "awaiting")).splitlines()[0]

    await bot.message(job, "cancelled")

    assert (await bot.events(job)).count("request:created") == 1
    assert bot.deletes(job) == 1


async def test_withdrawn_request_changes_nothing_about_the_time(bot: Serving) -> None:
    bot.settings |= after(8)
    await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    view = await bot.opens("rina", await bot.message(job, "awaiting"), LET_RUN)
    assert (await bot.submits("rina", view)).ok
    assert payload(await bot.message(job, "auto_cancel"))["request"]

    await bot.message(job, "cancelled")

    assert (await bot.events(job)).count("request:created") == 2


async def test_let_run_counts_once_the_feed_was_read_twenty_seconds_after_the_start(
    bot: Serving,
) -> None:
    bot.settings |= after(60)
    await bot.start()
    job = bot.download()
    own = bot.download("prod-us", by=Actor.user("Ada@Example.com"))
    message = await bot.message(job, "auto_cancel")
    await bot.slack.people.clicks("abe", message, LET_RUN)
    await bot.told("abe", "counts from")
    await asyncio.sleep(30)

    assert (await bot.lets_run("abe", job)).ok

    await bot.message(job, "let_run")
    await bot.slack.people.clicks("ada", await bot.message(own), LET_RUN)
    await bot.told("ada", "another person has to let it run")
    assert payload(await bot.message(own))["state"] == "auto_cancel"
    assert await bot.events(job) == ["download:let_run"]
    assert buttons(await bot.message(job)) == ["Cancel this download (danger)"]


async def test_exempt_starter_is_let_run_at_the_time(bot: Serving) -> None:
    bot.settings |= after(30) | {"BOT_AUTO_CANCEL_EXEMPT": "nightly@shop.example"}
    await bot.start()
    exempt = bot.download(by=Actor.user("nightly@shop.example"))
    await bot.message(exempt, "auto_cancel")
    await asyncio.sleep(8)  # starts within five seconds of each other have two possible starters
    other = bot.download("prod-us")

    await bot.message(exempt, "let_run")
    await bot.message(other, "cancelled")

    assert not exempt.cancelled
    assert await bot.events(exempt) == ["download:let_run"]


async def test_bot_that_was_killed_before_the_time_acts_when_it_is_back(bot: Serving) -> None:
    bot.settings |= after(4)
    process = await bot.start()
    job = bot.download()
    await bot.message(job, "auto_cancel")
    process.kill()
    await asyncio.sleep(5)
    while_down = bot.download("prod-us")
    assert not job.cancelled

    await bot.start()
    await bot.message(job, "cancelled")
    await bot.message(while_down, "cancelled")

    assert bot.deletes(job) == bot.deletes(while_down) == 1


async def test_slack_that_takes_no_post_moves_no_time(bot: Serving) -> None:
    bot.settings |= after(4)
    await bot.start()
    bot.slack.workspace.channels["C0OPS00001"].is_archived = True
    job = bot.download()

    await bot.until(lambda: job.cancelled)

    bot.slack.workspace.channels["C0OPS00001"].is_archived = False
    await bot.message(job, "cancelled")
