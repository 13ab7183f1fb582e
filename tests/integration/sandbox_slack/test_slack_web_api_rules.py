"""The Web API with Slack's own client: the rights of a token."""

import pytest
from slack_sdk.errors import SlackApiError

from tests.integration.sandbox_slack.conftest import SlackEnv


async def test_missing_scope_is_named(env: SlackEnv) -> None:
    env.slack.workspace.app.scopes = {"commands", "channels:read"}

    with pytest.raises(SlackApiError) as refused:
        await env.client.chat_postMessage(channel="C0OPS00001", text="a")

    assert refused.value.response.data == {
        "ok": False,
        "error": "missing_scope",
        "needed": "chat:write",
        "provided": "channels:read,commands",
    }
