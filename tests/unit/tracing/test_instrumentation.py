"""Spans of calls to Slack: kind and duration, and never a value."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.slack.client import SlackClient, new_session
from tests.unit.tracing.conftest import Traced

REASON = "a typed reason"


@pytest.fixture
async def slack(traced: Traced) -> AsyncIterator[SlackClient]:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("cut"):
            assert request.transport
            request.transport.abort()
        return web.json_response({"ok": True})

    site = web.Application()
    site.router.add_post("/api/{path:.*}", answer)
    async with TestServer(site) as server, new_session() as session:
        url = str(server.make_url("/api/"))
        yield SlackClient("xoxb-1", url, session, trace=traced.spans.slack_call)


async def test_slack_call_has_only_its_method(traced: Traced, slack: SlackClient) -> None:
    with traced.spans.trace("post card", None):
        await slack.chat_postMessage(channel="C0OPS", text=REASON)
    call, post = await traced.finished()

    assert (call.name, call.parent) == ("Slack chat.postMessage", post.context)
    assert not call.attributes
    assert REASON not in call.to_json()


async def test_broken_slack_call_has_an_error_status(traced: Traced, slack: SlackClient) -> None:
    with traced.spans.trace("post card", None), pytest.raises(aiohttp.ClientError):
        await slack.api_call("cut")
    call, _ = await traced.finished()

    assert (call.status.is_ok, call.status.description) == (False, "ServerDisconnectedError")


async def test_slack_call_without_a_trace_has_no_span(traced: Traced, slack: SlackClient) -> None:
    await slack.auth_test()

    assert await traced.finished() == ()
