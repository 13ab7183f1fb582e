"""The channels, contents and edits that Slack allows the app."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from tests.integration.sandbox_slack.blocks import plain
from tests.integration.sandbox_slack.conftest import SlackEnv

OPS, QUIET, LOBBY = "C0OPS00001", "C0QUIET001", "C0LOBBY001"

Call = Callable[..., Awaitable[Any]]


async def refusal(call: Call, **arguments: object) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call(**arguments)
    return str(refused.value.response["error"])


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        (QUIET, "channel_not_found"),
        (LOBBY, "not_in_channel"),
        ("C0ATTIC001", "is_archived"),
        ("C0NOWHERE1", "channel_not_found"),
        ("#ops", "channel_not_found"),
        ("U0NOBODY01", "channel_not_found"),
        ("U0OLGA0001", "channel_not_found"),
        ("U0DAN00001", "channel_not_found"),
    ],
)
async def test_post_to_a_channel_without_membership_is_rejected(
    env: SlackEnv, channel: str, code: str
) -> None:
    assert await refusal(env.client.chat_postMessage, channel=channel, text="a") == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"text": "a", "blocks": [{"type": "alert", "text": "b"}]}, "invalid_blocks"),
        ({"text": "a", "blocks": "{"}, "invalid_blocks_format"),
        ({"text": "a", "metadata": {"event_type": "a"}}, "invalid_metadata_schema"),
        ({"text": "a", "metadata": [1]}, "invalid_metadata_format"),
        ({"text": "a", "thread_ts": "1.2"}, "thread_not_found"),
    ],
)
async def test_invalid_message_is_rejected(
    env: SlackEnv, arguments: dict[str, object], code: str
) -> None:
    message = {"channel": OPS, **arguments}
    call = env.client.api_call

    assert await refusal(call, api_method="chat.postMessage", json=message) == code


async def test_app_edits_its_own_messages_only(env: SlackEnv) -> None:
    other = env.slack.people.says("rina", "#ops", "mine")
    change = {"channel": OPS, "text": "b"}

    assert await refusal(env.client.chat_update, ts=other["ts"], **change) == "cant_update_message"
    assert await refusal(env.client.chat_update, ts="1.2", **change) == "message_not_found"


async def test_edit_keeps_omitted_fields_and_the_earlier_text(env: SlackEnv) -> None:
    divider = {"type": "divider", "block_id": "d"}
    metadata = {"event_type": "e", "event_payload": {}}
    card = await env.client.chat_postMessage(
        channel=OPS, text="one", blocks=[divider], metadata=metadata
    )

    await env.client.chat_update(channel=OPS, ts=card["ts"], text="two")

    [message] = env.slack.state.messages("#ops")
    assert (message["text"], message["blocks"]) == ("two", [divider])
    assert message["metadata"] == metadata
    assert [before["text"] for before in message["edits"]] == ["one"]
    await env.client.chat_update(channel=OPS, ts=card["ts"], text="three", blocks=[])
    assert env.slack.state.messages("#ops")[0]["blocks"] == []


@pytest.mark.parametrize(
    ("arguments", "code"), [({}, "no_text"), ({"text": "x" * 4001}, "msg_too_long")]
)
async def test_invalid_edit_fails(env: SlackEnv, arguments: dict[str, object], code: str) -> None:
    card = await env.client.chat_postMessage(channel=OPS, text="one")
    edit = {"channel": OPS, "ts": card["ts"], **arguments}

    assert await refusal(env.client.api_call, api_method="chat.update", json=edit) == code


async def test_repeated_client_msg_id_gives_the_first_message_back(env: SlackEnv) -> None:
    post: dict[str, Any] = {
        "channel": OPS,
        "text": "once",
        "client_msg_id": "6f1ed002-ab5e-4c8a-8f4e-1c2b3d4e5f60",
    }

    first = await env.client.chat_postMessage(**post)
    second = await env.client.chat_postMessage(**post)

    assert first["ts"] == second["ts"]
    assert len(env.slack.state.messages("#ops")) == 1


async def test_click_counts_although_the_message_was_edited_before(env: SlackEnv) -> None:
    button = {"type": "button", "action_id": "go", "text": plain("Go")}
    content: Any = {"channel": OPS, "text": "a"}
    content["blocks"] = [{"type": "actions", "elements": [button]}]
    posted = await env.client.chat_postMessage(**content)
    block = posted["message"]["blocks"][0]["block_id"]
    message = {"channel": OPS, "ts": posted["ts"]}
    await env.client.chat_update(**content, ts=posted["ts"])

    assert (await env.slack.people.clicks("rina", message, "go", block=block)).ok
