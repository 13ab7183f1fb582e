"""A wall clock that jumps by an hour: no decision is lost, and auto-cancel is never late."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bot.sandbox.atlas import RestoreJob
from tests.support.process import BotProcess
from tests.support.required_programs import needs_library
from tests.support.serving import APPROVE, Serving, buttons, now, payload

ADA = "U0ADA00001"
APPROVALS = {"BOT_APPROVALS": "1", "BOT_APPROVERS": ADA, "BOT_WATCH_INTERVAL": "2"}
HOUR = 3600

Jump = Callable[[int], None]


@pytest.fixture
def jump(bot: Serving, tmp_path: Path) -> Jump:
    """Let the bots read a wall clock that is wrong by these seconds, from now on."""
    file = tmp_path / "clock"

    def set_clock(seconds: int) -> None:
        new = tmp_path / "new"
        new.write_text(f"{seconds:+d}\n")
        new.replace(file)

    set_clock(0)
    bot.forks = False
    bot.settings |= APPROVALS | {
        "LD_PRELOAD": str(needs_library("faketime/libfaketimeMT.so.1", "libfaketime")),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return set_clock


def connections(bot: Serving) -> int:
    return sum(call.method == "apps.connections.open" for call in bot.slack.calls)


async def waiting(bot: Serving) -> tuple[BotProcess, RestoreJob]:
    """Return a bot, and a download whose request waits for approval."""
    process = await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    await bot.message(job, "awaiting")
    return process, job


async def test_request_expires_when_the_clock_jumps_over_its_deadline(
    bot: Serving, jump: Jump
) -> None:
    process, job = await waiting(bot)
    connected = connections(bot)

    jump(HOUR)

    message = await bot.message(job, "expired")
    assert bot.deletes(job) == 0
    # Slack's client takes the age of its last ping by the wall clock, and connects anew: a click
    # on the old connection could be lost.
    await bot.until(lambda: connections(bot) > connected)
    await bot.is_active(process)
    assert buttons(message) == ["Cancel this download (danger)"]
    await bot.asks("rina", job)
    await bot.approves("ada", job)
    await bot.message(job, "cancelled")


async def test_request_waits_on_and_is_approved_after_the_clock_was_set_back(
    bot: Serving, jump: Jump
) -> None:
    process, job = await waiting(bot)

    jump(-HOUR)

    await bot.is_active(process)
    assert payload(await bot.message(job))["state"] == "awaiting"
    ack = await bot.slack.people.clicks("ada", await bot.message(job), APPROVE)
    assert ack.ok
    await bot.message(job, "cancelled")


async def test_link_is_seen_after_the_clock_was_set_back(bot: Serving, jump: Jump) -> None:
    process = await bot.start()
    job = bot.download()
    await bot.message(job)

    jump(-HOUR)
    await bot.is_active(process)
    job.release(now())

    await bot.reply(job, "is live now")
    job.expire()
    await bot.message(job, "ended")


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_auto_cancel_acts_at_once_when_the_clock_jumps(
    bot: Serving, jump: Jump, seconds: int
) -> None:
    """Too early costs a new download, too late a copy of the database."""
    process = await bot.start(BOT_AUTO_CANCEL_AFTER="1200")
    job = bot.download()
    await bot.message(job, "auto_cancel")

    jump(seconds)

    await bot.message(job, "cancelled")
    await bot.is_active(process)
    assert bot.deletes(job) == 1


async def test_auto_cancel_waits_on_when_the_clock_is_corrected_a_little(
    bot: Serving, jump: Jump
) -> None:
    process = await bot.start(BOT_AUTO_CANCEL_AFTER="1200")
    job = bot.download()
    await bot.message(job, "auto_cancel")

    jump(-30)

    await bot.is_active(process)
    other = bot.download("prod-us")
    await bot.message(other, "auto_cancel")
    assert payload(await bot.message(job))["state"] == "auto_cancel"
    assert bot.deletes(job) == 0
    assert timedelta(0) < now() - job.created_at
