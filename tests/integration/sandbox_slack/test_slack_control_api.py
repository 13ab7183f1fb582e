"""The fake Slack from another process: control API, event stream, origin guard, program."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from bot.sandbox.slack import FakeSlackServer


@pytest.fixture
async def outside(slack: FakeSlackServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(slack.base_url) as session:
        yield session


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Origin": "https://evil.example"}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
        ({"Origin": "http://localhost:1"}, "foreign_origin"),
        ({"Host": "evil.example"}, "foreign_host"),
        ({"Host": "127.0.0.1.evil.example:80"}, "foreign_host"),
    ],
)
async def test_other_sites_get_403(
    outside: ClientSession, headers: dict[str, str], error: str
) -> None:
    for path in ("/", "/_sandbox/state", "/api/auth.test"):
        async with outside.get(path, headers=headers) as response:
            assert (response.status, (await response.json())["error"]) == (403, error)


async def test_own_page_and_a_forwarded_local_port_are_allowed(
    slack: FakeSlackServer, outside: ClientSession
) -> None:
    forwarded = {"Host": "localhost:1", "Origin": "http://localhost:1"}
    for headers in ({"Origin": slack.base_url}, forwarded):
        async with outside.get("/_sandbox/state", headers=headers) as response:
            assert response.status == 200
