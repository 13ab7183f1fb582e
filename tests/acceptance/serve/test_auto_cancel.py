"""Auto-cancel: at its time a download that nobody let run is cancelled."""

import asyncio
from datetime import timedelta

from bot.sandbox.atlas import Actor, RestoreJob
from tests.support.serving import CANCELLED, LET_RUN, Json, Serving, buttons, now, payload

ADA, ABE, RINA = "U0ADA00001", "U0ABE00001", "U0RINA0001"
SETTINGS = {
    "BOT_APPROVALS": "1",
    "BOT_APPROVERS": f"{ADA},{ABE}",
    "BOT_APPROVAL_TTL": "600",
    "BOT_WATCH_INTERVAL": "2",
}


def after(seconds: int) -> dict[str, str]:
    return SETTINGS | {"BOT_AUTO_CANCEL_AFTER": str(seconds)}


def notified(bot: Serving, message: Json, words: str) -> frozenset[str]:
    """Return whom the message, or the reply in its thread, with these words notified."""
    posts = bot.slack.world.notifications.all
    (found,) = [n for n in posts if words in n.text and message["ts"] in {n.ts, n.thread_ts}]
    return found.users


async def test_downloads_are_cancelled_at_their_time_whatever_happened_to_a_request(
    bot: Serving,
) -> None:
    bot.settings |= after(20)
    older = bot.older()
    await bot.start()
    undecided, waiting, withdrawn = map(bot.download, ("prod-eu", "prod-us", "staging-eu"))
    message = await bot.message(undecided, "auto_cancel")
    assert buttons(message) == ["Cancel this download (danger)", "Let it run"]
    assert "unless somebody lets it run" in bot.text(message).splitlines()[0]
    assert notified(bot, message, "unless somebody lets it run") == {ADA, ABE}
    await bot.asks("rina", waiting)
    assert "by itself at" in bot.text(await bot.message(waiting, "awaiting")).splitlines()[0]
    await bot.asks("rina", withdrawn)
    view = await bot.opens("rina", await bot.message(withdrawn, "awaiting"), LET_RUN)
    assert (await bot.submits("rina", view)).ok
    assert payload(await bot.message(withdrawn, "auto_cancel"))["request"]

    for job in (undecided, waiting, withdrawn):
        await bot.message(job, "cancelled")
        await bot.reply(job, "Atlas confirms it")
        assert bot.deletes(job) == 1

    assert notified(bot, message, "Atlas confirms it") == {ADA, ABE}
    assert await bot.events(undecided) == CANCELLED
    assert (await bot.events(waiting)).count("request:created") == 1
    assert (await bot.events(withdrawn)).count("request:created") == 2
    assert payload(await bot.message(older))["state"] == "announced"
    assert not older.cancelled


async def test_let_run_counts_once_the_feed_was_read_twenty_seconds_after_the_start(
    bot: Serving,
) -> None:
    bot.settings |= after(60)
    await bot.start()
    job = bot.download()
    own = bot.download("prod-us", by=Actor.user("Ada@Example.com"))
    await bot.slack.people.clicks("abe", await bot.message(job, "auto_cancel"), LET_RUN)
    await bot.told("abe", "counts from")

    view = await reason_dialog(bot, "abe", job)
    assert now() >= job.created_at + timedelta(seconds=20)
    assert (await bot.submits("abe", view, reason="it is a drill")).ok

    await bot.message(job, "let_run")
    await bot.slack.people.clicks("ada", await bot.message(own), LET_RUN)
    await bot.told("ada", "another person has to let it run")
    assert payload(await bot.message(own))["state"] == "auto_cancel"
    assert await bot.events(job) == ["download:let_run"]
    assert buttons(await bot.message(job)) == ["Cancel this download (danger)"]


async def reason_dialog(bot: Serving, who: str, job: RestoreJob) -> Json:
    """Click *Let it run* each second until it counts; return the dialog that asks why."""
    for _ in range(40):
        if view := bot.slack.state.view_of(who):
            return view
        await bot.slack.people.clicks(who, await bot.message(job), LET_RUN)
        await asyncio.sleep(1.0)
    raise TimeoutError(bot.shown())


async def test_bot_that_was_killed_before_the_time_acts_when_it_is_back(bot: Serving) -> None:
    bot.settings |= after(10)
    process = await bot.start()
    job = bot.download()
    await bot.message(job, "auto_cancel")
    process.kill()
    while_down = bot.download("prod-us")
    await bot.until(lambda: now() > job.created_at + timedelta(seconds=12))
    assert not job.cancelled

    await bot.start(BOT_AUTO_CANCEL_AFTER="1")
    await bot.message(job, "cancelled")
    await bot.message(while_down, "cancelled")

    assert bot.deletes(job) == bot.deletes(while_down) == 1


async def test_slack_that_takes_no_post_moves_no_time(bot: Serving) -> None:
    bot.settings |= after(4)
    await bot.start()
    bot.slack.workspace.channels["C0OPS00001"].is_archived = True
    job = bot.download()

    await bot.until(lambda: job.cancelled)

    assert bot.find(job) is None
