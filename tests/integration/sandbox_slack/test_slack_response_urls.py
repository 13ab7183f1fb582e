"""Response URLs: the visibility of their answers, and their limits."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import FakeSlackServer
from tests.integration.sandbox_slack.parts import Json, actions, button
from tests.integration.sandbox_slack.receiver import Receiver

OPS = "C0OPS00001"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def command_url(slack: FakeSlackServer, app: Receiver) -> str:
    await slack.people.types("rina", "#ops", "/cancel-restore")
    return str(app.payload["response_url"])


async def answers(session: aiohttp.ClientSession, url: str, **body: object) -> tuple[int, str]:
    async with session.post(url, json=body) as response:
        text = await response.text()
        return response.status, text if response.status == 200 else (await _error(response))


async def _error(response: aiohttp.ClientResponse) -> str:
    body: Json = await response.json()
    return str(body["error"])


async def test_five_answers_go_to_the_person_alone(
    slack: FakeSlackServer, app: Receiver, session: aiohttp.ClientSession
) -> None:
    url = await command_url(slack, app)

    for number in range(5):
        assert await answers(session, url, text=str(number)) == (200, "ok")

    assert await answers(session, url, text="6") == (404, "used_url")
    assert [m["text"] for m in slack.state.ephemerals("rina")] == list("01234")
    assert slack.state.messages("#ops") == []


async def test_answer_reaches_a_channel_that_the_app_is_not_in(
    slack: FakeSlackServer, app: Receiver, session: aiohttp.ClientSession
) -> None:
    await slack.people.types("rina", "#quiet", "/cancel-restore")

    url = app.payload["response_url"]

    assert await answers(session, url, text="all", response_type="in_channel") == (200, "ok")
    assert [m["text"] for m in slack.state.messages("#quiet")] == ["all"]


async def test_answer_can_replace_or_delete_the_message_that_was_clicked(
    slack: FakeSlackServer, app: Receiver, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    await client.chat_postEphemeral(
        channel=OPS, user="U0RINA0001", text="psst", blocks=[actions(button())]
    )
    await slack.people.clicks("rina", slack.state.ephemerals("rina")[0], "approve")
    url = app.payload["response_url"]
    assert app.payload["container"]["is_ephemeral"] is True
    assert "message" not in app.payload

    assert await answers(session, url, text="done", replace_original=True) == (200, "ok")
    [shown] = slack.state.ephemerals("rina")
    assert (shown["text"], shown["blocks"]) == ("done", [])

    assert await answers(session, url, delete_original=True) == (200, "ok")
    assert slack.state.ephemerals("rina") == []


async def test_answer_can_reply_in_a_thread_that_exists(
    slack: FakeSlackServer, app: Receiver, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    card = await client.chat_postMessage(channel=OPS, text="card")
    url = await command_url(slack, app)

    public = {"text": "reply", "response_type": "in_channel"}

    assert await answers(session, url, **public, thread_ts=card["ts"]) == (200, "ok")
    assert [m["text"] for m in slack.state.replies(slack.state.messages("#ops")[0])] == ["reply"]
    assert await answers(session, url, **public, thread_ts="1.2") == (400, "thread_not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": "a", "blocks": [{"type": "alert"}]}, "invalid_blocks"),
        ({"text": ""}, "no_text"),
        ({"text": "a", "colour": "red"}, "invalid_arguments"),
        ({"text": "a", "response_type": "loud"}, "invalid_arguments"),
        ({"delete_original": True}, "message_not_found"),
    ],
)
async def test_invalid_response_is_rejected_and_a_complaint(
    slack: FakeSlackServer, app: Receiver, session: aiohttp.ClientSession, body: Json, code: str
) -> None:
    url = await command_url(slack, app)

    assert await answers(session, url, **body) == (400, code)
    assert len(slack.complaints) == 1
