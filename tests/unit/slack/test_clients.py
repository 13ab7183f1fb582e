"""What the Web API client makes of answers that are none of Slack's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bot.slack.clients import build_client, new_session
from bot.slack.errors import CALL_ERRORS, NotReachable, meaning_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=["text/html", "text/plain", "application/json"])
async def address_of_a_proxy(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A server that answers everything with a page, and with status 200."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>maintenance</html>", content_type=request.param)

    site = web.Application()
    site.router.add_post("/api/{method}", page)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    await runner.cleanup()


async def test_a_page_of_a_proxy_is_no_answer_of_slack(address_of_a_proxy: str) -> None:
    async with new_session() as session:
        client = build_client("xoxb-1", address_of_a_proxy, session)

        with pytest.raises(CALL_ERRORS) as refused:
            await client.chat_postMessage(channel="C0OPS", text="hello")

    assert isinstance(meaning_of(refused.value), NotReachable)
