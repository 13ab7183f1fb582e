"""Faults of Atlas and of Slack on the way from a click to the outcome."""

import pytest

from bot.sandbox.atlas import PRESETS, Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from tests.support.serving import CHANNEL, OPEN, Serving, buttons, payload

CANNOT_CANCEL = "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED"
ADA, RINA = "U0ADA00001", "U0RINA0001"


@pytest.mark.parametrize(
    ("preset", "deletes"),
    [("cut-before", 2), ("cut-after", 1), ("stale-read", 1), ("stale-nonce", 1), ("garbage", 1)],
)
async def test_fault_that_passes_ends_with_the_confirmation_and_no_blind_delete(
    bot: Serving, preset: str, deletes: int
) -> None:
    await bot.start()
    job = bot.download()
    view = await bot.opens("rina", await bot.message(job))
    bot.atlas.faults.add(*PRESETS[preset][1])
    assert (await bot.submits("rina", view, reason="by mistake")).ok

    await bot.message(job, "cancelled")

    assert bot.deletes(job) == deletes
    calls = [c for c in bot.atlas.calls if job.id in c.path and not c.challenge]
    sent = [number for number, call in enumerate(calls) if call.method == "DELETE"]
    assert all(calls[number - 1].method == "GET" for number in sent)


async def test_one_404_is_no_end(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    view = await bot.opens("rina", await bot.message(job))
    bot.atlas.faults.add(Fault(kind=Kind.STATUS, status=404, path=job.id))
    assert (await bot.submits("rina", view, reason="by mistake")).ok

    await bot.message(job, "cancelled")


async def test_lasting_refusal_is_on_the_message_and_ends_when_it_is_mended(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    view = await bot.opens("rina", await bot.message(job))
    refused = Fault(kind=Kind.STATUS, status=403, path=job.id, times=None)
    bot.atlas.faults.add(refused)
    assert (await bot.submits("rina", view, reason="by mistake")).ok
    await bot.until(lambda: "tries again" in bot.text(bot.find(job) or {"blocks": []}))
    assert payload(await bot.message(job))["state"] == "cancelling"

    bot.atlas.faults.clear()
    await bot.message(job, "cancelled")


async def test_refusal_is_said_with_its_code_and_the_button_asks_anew(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    view = await bot.opens("rina", await bot.message(job))
    bot.atlas.faults.add(Fault(kind=Kind.ERROR, code=CANNOT_CANCEL, method="DELETE"))
    assert (await bot.submits("rina", view, reason="by mistake")).ok

    message = await bot.message(job, "refused")

    assert CANNOT_CANCEL in bot.text(message)
    assert buttons(message) == ["Cancel this download (danger)"]
    await bot.reply(job, "refused")
    await bot.asks("rina", job)
    await bot.message(job, "cancelled")


async def test_job_that_ended_meanwhile_is_over_and_no_delete_is_sent(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    view = await bot.opens("rina", await bot.message(job))
    job.fail()
    assert (await bot.submits("rina", view, reason="by mistake")).ok

    message = await bot.message(job, "over", "ended")

    assert bot.deletes(job) == 0
    assert "No link was seen" in bot.text(message)


async def test_other_snapshot_than_the_one_that_was_shown_is_changed(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    view = await bot.opens("rina", await bot.message(job))
    job.snapshot_id = "5" * 24
    assert (await bot.submits("rina", view, reason="by mistake")).ok

    message = await bot.message(job, "changed")

    assert bot.deletes(job) == 0
    assert "another job" in bot.text(message).splitlines()[0]


async def test_download_that_got_away_says_so_in_the_first_line(bot: Serving) -> None:
    bot.settings |= {"BOT_APPROVALS": "1", "BOT_APPROVERS": ADA, "BOT_WATCH_INTERVAL": "2"}
    await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    await bot.message(job, "awaiting")
    job.release(job.created_at)
    await bot.reply(job, "is live now")
    job.finish(job.created_at)

    message = await bot.message(job, "over")

    assert bot.text(message).splitlines()[0].startswith("*Too late")
    await bot.reply(job, "too late")
    assert bot.notified("too late") == {ADA, RINA}


async def test_message_that_was_deleted_is_posted_anew(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    message = await bot.message(job)
    bot.slack.world.messages.delete(CHANNEL, message["ts"])
    await bot.types("rina", job.id)
    await bot.dialog("rina")
    assert (await bot.submits("rina", None, reason="by mistake")).ok

    again = await bot.message(job, "cancelled")

    assert again["ts"] != message["ts"]


async def test_slack_that_limits_and_breaks_loses_no_message(bot: Serving) -> None:
    await bot.start()
    bot.slack.faults.add("chat.postMessage", SlackFault(kind="ratelimited", seconds=2))
    bot.slack.faults.add("chat.postMessage", SlackFault(kind="reset_after"))
    bot.slack.faults.add("chat.postMessage", SlackFault(kind="status"))
    bot.slack.faults.add("chat.update", SlackFault(kind="status"))
    job = bot.download()
    await bot.asks("rina", job)
    await bot.message(job, "cancelled")
    await bot.reply(job, "Atlas confirms")

    posted = [m for m in bot.slack.state.messages(CHANNEL) if payload(m).get("job") == job.id]

    assert len(posted) == 1


async def test_content_that_slack_refuses_is_a_short_text(bot: Serving) -> None:
    await bot.start()
    fault = SlackFault(kind="error", code="invalid_blocks")
    bot.slack.faults.add("chat.postMessage", fault)
    job = bot.download()
    (message,) = await bot.until(lambda: bot.slack.state.messages(CHANNEL))

    assert job.id in bot.text(message)
    assert "prod-eu" in bot.text(message)
    bot.slack.calls.clear()  # the refused one was planted


async def test_cut_connection_is_ready_again(bot: Serving) -> None:
    process = await bot.start()
    job = bot.download()
    message = await bot.message(job)
    await bot.slack.sockets.cut()

    await bot.until(lambda: bot.slack.sockets.connections > 0)
    await bot.is_active(process)
    for _ in range(10):  # Slack counts the cut connection for a while: clicking again is safe
        if (await bot.slack.people.clicks("rina", message, OPEN)).ok:
            break

    await bot.dialog("rina")
