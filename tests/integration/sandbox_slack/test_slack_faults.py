"""Injected faults: the errors that the app's client gets instead of an answer."""

import asyncio

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


async def test_call_can_fail_with_any_code(slack: FakeSlackServer, client: AsyncWebClient) -> None:
    slack.faults.add("*", Fault(kind="error", code="service_unavailable"), times=2)

    for _ in range(2):
        with pytest.raises(SlackApiError) as refused:
            await client.auth_test()
        assert refused.value.response["error"] == "service_unavailable"
    assert (await client.auth_test())["ok"]


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


async def test_answer_can_be_late(slack: FakeSlackServer, client: AsyncWebClient) -> None:
    slack.faults.add("auth.test", Fault(kind="delay", seconds=0.05))
    loop = asyncio.get_running_loop()
    began = loop.time()

    await client.auth_test()

    assert loop.time() - began >= 0.05


def test_fault_that_does_not_exist_is_rejected() -> None:
    with pytest.raises(ValueError, match="Unknown fault earthquake"):
        Fault(kind="earthquake")  # type: ignore[arg-type] # that is the point
