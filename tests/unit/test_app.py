"""What `/readyz` says before the process knows its role."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from bot.app import Bot
from bot.storage.lease import Lease
from tests.support.settings import load


async def readiness(bot: Bot, is_wanted: Callable[[dict[str, object]], bool]) -> tuple[int, object]:
    """Wait for such an answer; return its status and its problems."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            if bot.port:
                async with session.get(f"http://127.0.0.1:{bot.port}/readyz") as answer:
                    body = await answer.json()
                if is_wanted(body):
                    return answer.status, body["problems"]
            await asyncio.sleep(0.02)


async def test_process_is_not_ready_until_it_has_asked_for_the_lease_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def refuse(_lease: Lease) -> bool:
        await asked.wait()
        return False

    monkeypatch.setattr(Lease, "take", refuse)
    bot = Bot(load(DATABASE_URL=f"sqlite:///{tmp_path}/bot.db", PORT="0"))
    stop = asyncio.Event()
    running = asyncio.create_task(bot.run(stop))
    before = await readiness(bot, lambda body: "database" not in str(body["problems"]))
    asked.set()
    after = await readiness(bot, lambda body: body["ok"] is True)
    stop.set()
    await running

    assert before == (503, {"role": "The process has not started yet."})
    assert after == (200, {})
