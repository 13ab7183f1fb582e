"""`cancel-restore demo` as a process: start, stop, and access from this machine only."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.demo.controller import Controller
from tests.support.process import DEMO_TIMEOUT, running_demo


async def state(page: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{page}_demo/state") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def exits(pid: int) -> bool:
    """Return whether the process, which need not be our child, exits within 12 seconds."""
    for _ in range(240):
        if not is_running(pid):
            return True
        await asyncio.sleep(0.05)
    return False


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_page_is_served_in_time_and_sigterm_ends_every_process() -> None:
    began = time.monotonic()
    async with running_demo() as (process, line):
        demo = (await state(line["page"]))["demo"]
        seconds = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 30)

        assert code == 0
        assert await exits(demo["pid"])
        assert demo["bot"] == "running"
        assert seconds < DEMO_TIMEOUT


async def test_bot_ends_when_the_demo_is_killed() -> None:
    async with running_demo() as (process, line):
        pid = (await state(line["page"]))["demo"]["pid"]
        os.kill(process.pid, signal.SIGKILL)

        assert await exits(pid)


@pytest.mark.parametrize(
    ("arguments", "first"), [((), "approval"), (("--fault", "wrong-key"), "wrong-key")]
)
async def test_options_select_the_first_scenario_and_restart_needs_no_approvals(
    arguments: tuple[str, ...], first: str
) -> None:
    """A request that waits for an approval has no DELETE to interrupt."""
    async with running_demo("--approvals", "2", *arguments) as (_, line):
        demo = (await state(line["page"]))["demo"]
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{line['page']}_demo/scenarios/restart", json={})
            restarted = (await answer.json())["demo"]

    assert (demo["scenario"], demo["approvals"]) == (first, 2)
    assert (restarted["scenario"], restarted["approvals"]) == ("restart", 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
    ],
    ids=str,
)
async def test_other_origins_and_hosts_get_403_and_a_forwarded_port_is_allowed(
    controller: Controller, headers: dict[str, str], status: int
) -> None:
    async with aiohttp.ClientSession(controller.slack.base_url) as session:
        for path in ("/", "/_demo/state", "/_sandbox/state", "/api/auth.test"):
            assert (await session.get(path, headers=headers)).status == status, path
        evil = {"Origin": "https://evil.example"}
        acted = await session.post("/_demo/bot/kill", json={}, headers=evil)

    assert acted.status == 403
    assert controller.state()["bot"] == "running"


async def test_content_security_policy_allows_own_scripts_only(controller: Controller) -> None:
    async with aiohttp.ClientSession() as session:
        page = await session.get(f"{controller.slack.base_url}/")
        other = await session.get(f"{controller.slack.base_url}/page/..%2Fsite.py")

    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "sandbox" in page.headers["X-Sandbox"]
    assert other.status == 404
