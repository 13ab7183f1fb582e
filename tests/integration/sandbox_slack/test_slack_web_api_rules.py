"""The Web API with Slack's own client: rights of each token, and responses."""

from collections.abc import Awaitable

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.integration.sandbox_slack.conftest import SlackEnv


async def refusal(call: Awaitable[object]) -> str:
    """The code with which a call is refused."""
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_each_token_has_its_own_methods(env: SlackEnv) -> None:
    app = AsyncWebClient(env.slack.app_token, base_url=env.slack.api_url)

    assert await refusal(app.chat_postMessage(channel="C0OPS00001", text="a")) == (
        "not_allowed_token_type"
    )
    assert await refusal(env.client.apps_connections_open(app_token=env.slack.bot_token)) == (
        "not_allowed_token_type"
    )


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
