"""Health and readiness while the bot starts, and while it stops."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot import startup_checks
from bot.app import Bot
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer, Fault
from bot.settings import load_settings
from tests.acceptance.environment import BotEnvironment, environment, open_environment
from tests.support.polling import wait_until
from tests.support.timings import SHORT_TIMINGS

STOPPING = "The bot is stopping: another replica takes over."


async def get(port: int, path: str) -> tuple[int, Any]:
    """Return status and JSON of one GET."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("http", [False, True], ids=["socket", "http"])
async def test_starting_bot_is_alive_and_not_ready_while_slack_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, http: bool
) -> None:
    monkeypatch.setattr(startup_checks, "SLACK_RETRY_INTERVAL", 0.05)
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        slack.faults.add("auth.test", Fault(kind="status", status=503), times=100_000)
        given = environment(slack, atlas, tmp_path)
        if http:
            del given["SLACK_APP_TOKEN"]
            given["SLACK_SIGNING_SECRET"] = slack.signing_secret
        bot = Bot(load_settings(given, tmp_path), timings=SHORT_TIMINGS)
        beginning = asyncio.create_task(bot.start())
        try:
            await wait_until(lambda: bot.port)
            alive, _ = await get(bot.port, "/healthz")
            early, readiness = await get(bot.port, "/readyz")
            slack.faults.clear()
            await beginning
            await slack.until(lambda: http or slack.sockets.connections, 20)
            late, _ = await get(bot.port, "/readyz")
        finally:
            await bot.stop()

    assert (alive, early, late) == (200, 503, 200)
    assert readiness["ready"] is False
    assert readiness["checks"]["database"] == "ok"
    assert readiness["checks"]["slack"].startswith("Slack does not answer: ")


async def test_draining_bot_is_not_ready_and_still_answers(tmp_path: Path) -> None:
    """A load balancer notices after a moment; no request until then is lost."""
    async with open_environment(
        tmp_path, http=True, timings=replace(SHORT_TIMINGS, drain=1.0)
    ) as env:
        before, _ = await get(env.bot.port, "/readyz")
        began = time.monotonic()
        stopping = asyncio.create_task(env.bot.stop())
        await asyncio.sleep(0.05)
        during, readiness = await get(env.bot.port, "/readyz")
        alive, _ = await get(env.bot.port, "/healthz")
        ending = await ask(env)
        await stopping
        took = time.monotonic() - began

        assert (before, during, alive) == (200, 503, 200)
        assert readiness["checks"] == {"slack": STOPPING, "database": "ok", "loops": "ok"}
        assert ending == "cancelled"
        assert 1.0 <= took < 10.0
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(env.bot.port, "/healthz")


async def ask(env: BotEnvironment) -> str:
    """Ask for a cancellation, and return how it ended."""
    job = env.new_job()
    assert (await env.submit_request(job)).ok
    return (await env.wait_for_outcome(job[1])).state
