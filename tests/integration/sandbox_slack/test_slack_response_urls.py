"""Response URLs: the visibility of their answers, and their limits."""

import json

import pytest
from aiohttp import ClientSession

from tests.integration.sandbox_slack.blocks import Json
from tests.integration.sandbox_slack.conftest import SlackEnv


async def command_url(env: SlackEnv) -> str:
    await env.slack.people.types("rina", "#ops", "/cancel-restore")
    return str(env.app.payload["response_url"])


async def answers(url: str, **body: object) -> tuple[int, str]:
    """Send a body to a response URL; return the status, and the text or the error's code."""
    async with ClientSession() as session, session.post(url, json=body) as response:
        text = await response.text()
        return response.status, text if response.status == 200 else json.loads(text)["error"]


async def test_five_answers_go_to_the_person_alone(env: SlackEnv) -> None:
    url = await command_url(env)

    for number in range(5):
        assert await answers(url, text=str(number)) == (200, "ok")

    assert await answers(url, text="6") == (404, "used_url")
    assert [m["text"] for m in env.slack.state.ephemerals("rina")] == list("01234")
    assert env.slack.state.messages("#ops") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": "a", "blocks": [{"type": "alert"}]}, "invalid_blocks"),
        ({"text": ""}, "no_text"),
        ({"text": "a", "colour": "red"}, "invalid_arguments"),
        ({"text": "a", "response_type": "loud"}, "invalid_arguments"),
    ],
)
async def test_invalid_response_is_rejected_and_a_complaint(
    env: SlackEnv, body: Json, code: str
) -> None:
    url = await command_url(env)

    assert await answers(url, **body) == (400, code)
    assert len(env.slack.complaints) == 1
