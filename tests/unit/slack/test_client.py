"""The Web API client: its connections, and answers that are not JSON."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bot.slack.client import MAX_CONNECTIONS, build_client, new_session
from bot.slack.errors import CALL_ERRORS, SlackUnavailable, translate_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture(params=["text/html", "text/plain", "application/json"])
async def address_of_a_proxy(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A server that answers everything with a page, and with status 200."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>maintenance</html>", content_type=request.param)

    async with serving(page) as address:
        yield address


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    site = web.Application()
    site.router.add_post("/api/{method}", answer)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    await runner.cleanup()


async def test_page_of_a_proxy_is_reported_as_unavailable(address_of_a_proxy: str) -> None:
    async with new_session() as session:
        client = build_client("xoxb-1", address_of_a_proxy, session)

        with pytest.raises(CALL_ERRORS) as refused:
            await client.chat_postMessage(channel="C0OPS", text="hello")

    assert isinstance(translate_error(refused.value), SlackUnavailable)


async def test_burst_of_calls_opens_no_more_than_the_maximum_of_connections() -> None:
    """Connections stay open while the bot is busy, and each uses memory."""
    seen = set()

    async def slow(request: web.Request) -> web.Response:
        seen.add(request.transport)
        await asyncio.sleep(0.05)
        return web.json_response({"ok": True})

    async with serving(slow) as address, new_session() as session:
        client = build_client("xoxb-1", address, session)
        await asyncio.gather(*(client.api_test() for _ in range(4 * MAX_CONNECTIONS)))

    assert len(seen) == MAX_CONNECTIONS
