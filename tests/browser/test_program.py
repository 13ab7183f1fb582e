"""The page of the demo: access from this machine only."""

import aiohttp
import pytest

from bot.demo.controller import Controller


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
