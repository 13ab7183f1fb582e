"""What `/readyz` says, and what a click is told, while a part does not work."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp

from bot.sandbox.slack import Fault as SlackFault
from tests.support.process import BotProcess
from tests.support.serving import OPEN, Serving


async def readiness(bot: Serving, process: BotProcess, status: int) -> dict[str, object]:
    """Wait until `/readyz` has this status, and return its body."""
    found: dict[str, object] = {}

    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            async with session.get(f"{process.url}/readyz") as answer:
                found = await answer.json()
                if answer.status == status:
                    return found
            await asyncio.sleep(0.1)
    raise TimeoutError(str(found))


async def test_database_that_cannot_be_written_is_said_and_clicks_are_not_recorded(
    bot: Serving, tmp_path: Path
) -> None:
    process = await bot.start()
    job = bot.download()
    dialog = await bot.opens("rina", await bot.message(job))
    with closing(sqlite3.connect(tmp_path / "bot.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        body = await readiness(bot, process, 503)
        assert "database" in str(body["problems"])
        ack = await bot.submits("rina", dialog, reason="by mistake")
        assert "again" in ack.errors["reason"]
        other.execute("ROLLBACK")

    assert (await readiness(bot, process, 200))["role"] == "active"
    await bot.asks("rina", job)
    await bot.message(job, "cancelled")
    assert bot.deletes(job) == 1


async def test_token_that_slack_refuses_is_said_until_it_is_accepted(bot: Serving) -> None:
    process = await bot.start()
    bot.slack.faults.add("auth.test", SlackFault(kind="error", code="invalid_auth"), times=1000)

    body = await readiness(bot, process, 503)

    assert "refuses the bot's token" in str(body["problems"])
    bot.slack.faults.clear()
    await readiness(bot, process, 200)


async def test_standby_is_ready_and_has_no_connection_to_slack(bot: Serving) -> None:
    await bot.start()
    second = bot.begin()
    await bot.role(second, "standby")

    assert bot.slack.sockets.connections == 1
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{second.url}/metrics") as answer,
    ):
        assert "\ncancel_restore_active 0.0\n" in await answer.text()


async def test_dialog_opens_while_the_database_is_locked(bot: Serving, tmp_path: Path) -> None:
    await bot.start()
    job = bot.download()
    message = await bot.message(job)
    with closing(sqlite3.connect(tmp_path / "bot.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert (await bot.slack.people.clicks("rina", message, OPEN)).ok
        view = await bot.dialog("rina")
        other.execute("ROLLBACK")

    assert job.id in bot.text(view)
    assert view["submit"]["text"] == "Cancel the download"
