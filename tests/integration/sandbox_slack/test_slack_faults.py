"""Injected faults: the errors that the app's client gets instead of an answer."""

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import FakeSlackServer, Fault

OPS = "C0OPS00001"


@pytest.mark.parametrize(
    ("fault", "posted", "errors"),
    [
        (Fault(kind="reset_before"), [], ["reset_before"]),
        (Fault(kind="reset_after"), ["a"], [None]),
    ],
)
async def test_connection_can_break_before_or_after_the_call_takes_effect(
    slack: FakeSlackServer,
    client: AsyncWebClient,
    fault: Fault,
    posted: list[str],
    errors: list[str | None],
) -> None:
    slack.faults.add("chat.postMessage", fault)

    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel=OPS, text="a")

    assert [m["text"] for m in slack.state.messages("#ops")] == posted
    assert [c.error for c in slack.called("chat.postMessage")] == errors


async def test_call_can_be_rate_limited(slack: FakeSlackServer, client: AsyncWebClient) -> None:
    slack.faults.add("chat.postMessage", Fault(kind="ratelimited", seconds=7))

    with pytest.raises(SlackApiError) as refused:
        await client.chat_postMessage(channel=OPS, text="a")

    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault(kind="status", status=502), 502, "upstream connect error"),
        (Fault(kind="garbage"), 200, "<html>not JSON"),
    ],
)
async def test_response_can_be_garbage(
    slack: FakeSlackServer, fault: Fault, status: int, body: str
) -> None:
    slack.faults.add("auth.test", fault)

    async with aiohttp.ClientSession() as session:
        answer = await session.post(slack.api_url + "auth.test")

        assert (answer.status, await answer.text()) == (status, body)
