"""`cancel-restore demo` as a process: up in time, gone without a trace, kept to this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.support.process import surroundings

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from bot.demo.controller import Controller

#: Seconds from the command to the page that are promised, and what a busy machine may add.
START_TIMEOUT, LOAD_TOLERANCE = 5.0, 5.0


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """Run the command until its JSON line; kill it at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bot", "demo", "--no-browser", "--port", "0", *arguments),
        env=surroundings(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT + LOAD_TOLERANCE)
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def state(page: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{page}_demo/state") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def gone(pid: int) -> bool:
    """Whether a process ends within the time of an orderly end; it need not be our child."""
    for _ in range(240):
        if not is_there(pid):
            return True
        await asyncio.sleep(0.05)
    return False


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_page_is_served_in_time_and_sigterm_ends_every_process() -> None:
    began = time.monotonic()
    async with running() as (process, line):
        stage = (await state(line["page"]))["stage"]
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 15)

        assert code == 0
        assert await gone(stage["pid"])
        assert stage["bot"] == "running"
        assert seconds < START_TIMEOUT + LOAD_TOLERANCE


async def test_bot_ends_when_the_demo_is_killed() -> None:
    async with running() as (process, line):
        pid = (await state(line["page"]))["stage"]["pid"]
        os.kill(process.pid, signal.SIGKILL)

        assert await gone(pid)


@pytest.mark.parametrize(
    ("arguments", "scene", "approvals"),
    [
        (("--approvals", "2"), "approval", 2),
        (("--fault", "wrong-key", "--approvals", "1"), "wrong-key", 1),
    ],
)
async def test_options_choose_the_first_scene(
    arguments: tuple[str, ...], scene: str, approvals: int
) -> None:
    async with running(*arguments) as (_, line):
        stage = (await state(line["page"]))["stage"]

        assert (stage["scene"], stage["approvals"]) == (scene, approvals)


async def test_restart_scene_needs_no_approvals() -> None:
    """A card that waits for an approval would leave nothing to kill in the middle."""
    async with running("--approvals", "1") as (_, line), aiohttp.ClientSession() as session:
        answer = await session.post(f"{line['page']}_demo/scenes/restart", json={})
        stage = (await answer.json())["stage"]

        assert (stage["scene"], stage["approvals"]) == ("restart", 0)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
async def test_other_origins_and_hosts_get_403(stage: Controller, headers: dict[str, str]) -> None:
    url = stage.slack.base_url
    async with aiohttp.ClientSession() as session:
        read = await session.get(f"{url}/_demo/state", headers=headers)
        acted = await session.post(f"{url}/_demo/bot/kill", json={}, headers=headers)

    assert (read.status, acted.status) == (403, 403)
    assert stage.state()["bot"] == "running"


async def test_content_security_policy_allows_own_scripts_only(stage: Controller) -> None:
    async with aiohttp.ClientSession() as session:
        page = await session.get(f"{stage.slack.base_url}/")
        other = await session.get(f"{stage.slack.base_url}/page/..%2Fhouse.py")

    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "sandbox" in page.headers["X-Sandbox"]
    assert other.status == 404
