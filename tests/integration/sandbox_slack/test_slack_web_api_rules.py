"""The Web API with Slack's own client: rights of each token, and responses."""

from collections.abc import Awaitable

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.integration.sandbox_slack.conftest import SlackEnv


async def refusal(call: Awaitable[object]) -> str:
    """The code with which a call is refused."""
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_auth_test_returns_identity_and_scopes(env: SlackEnv) -> None:
    answer = await env.client.auth_test()

    assert answer["user_id"] == env.slack.workspace.app.bot_user
    assert answer["team_id"] == env.slack.workspace.team.id
    scopes = answer.headers["X-OAuth-Scopes"].split(",")
    assert scopes == sorted(env.slack.workspace.app.scopes)


async def test_wrong_and_missing_token_have_different_errors(env: SlackEnv) -> None:
    wrong = AsyncWebClient("xoxb-other", base_url=env.slack.api_url)
    none = AsyncWebClient(base_url=env.slack.api_url)

    assert await refusal(wrong.auth_test()) == "invalid_auth"
    assert await refusal(none.auth_test()) == "not_authed"


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


async def test_methods_without_json_support_ignore_json(env: SlackEnv) -> None:
    call = env.client.api_call("users.info", json={"user": "U0RINA0001"})

    assert await refusal(call) == "invalid_arguments"


async def test_body_of_another_kind_is_rejected(env: SlackEnv) -> None:
    headers = {"Authorization": f"Bearer {env.slack.bot_token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        url = env.slack.api_url + "auth.test"
        for body, kind, code in [
            ("<a/>", "text/xml", "invalid_post_type"),
            ("{", "application/json", "invalid_json"),
            ("[]", "application/json", "json_not_object"),
        ]:
            answer = await session.post(url, data=body, headers={"Content-Type": kind})
            assert (await answer.json())["error"] == code


async def test_users_info_returns_each_kind_of_person(env: SlackEnv) -> None:
    rina = (await env.client.users_info(user="U0RINA0001"))["user"]
    gus = (await env.client.users_info(user="U0GUS00001"))["user"]
    dan = (await env.client.users_info(user="U0DAN00001"))["user"]
    olga = (await env.client.users_info(user="U0OLGA0001"))["user"]

    assert (rina["is_restricted"], rina["is_bot"], rina["deleted"]) == (False, False, False)
    assert gus["is_restricted"] is True
    assert dan["deleted"] is True
    assert (olga["team_id"], olga["is_stranger"]) == ("T0OTHER001", True)
    assert await refusal(env.client.users_info(user="U0NOBODY01")) == "user_not_found"


async def test_address_finds_an_active_person_of_the_workspace_in_any_case(env: SlackEnv) -> None:
    found = (await env.client.users_lookupByEmail(email="RINA@example.com"))["user"]

    assert found["id"] == "U0RINA0001"
    for unknown in ("dan@example.com", "olga@example.com", "nobody@example.com"):
        lookup = env.client.users_lookupByEmail(email=unknown)
        assert await refusal(lookup) == "users_not_found"
    env.slack.workspace.app.scopes.remove("users:read.email")
    assert await refusal(env.client.users_lookupByEmail(email="rina@example.com")) == (
        "missing_scope"
    )


async def test_group_lists_its_active_members(env: SlackEnv) -> None:
    env.slack.workspace.groups["S0APPROVE1"].users.append("U0DAN00001")

    answer = await env.client.usergroups_users_list(usergroup="S0APPROVE1")

    assert answer["users"] == ["U0ADA00001", "U0ABE00001"]
    assert await refusal(env.client.usergroups_users_list(usergroup="S0OTHER")) == "no_such_subteam"


async def test_free_plan_has_no_groups(env: SlackEnv) -> None:
    env.slack.workspace.has_user_groups = False

    assert (
        await refusal(env.client.usergroups_users_list(usergroup="S0APPROVE1"))
        == "plan_upgrade_required"
    )


async def test_private_channel_is_hidden_from_the_app(env: SlackEnv) -> None:
    ops = (await env.client.conversations_info(channel="C0OPS00001"))["channel"]
    lobby = (await env.client.conversations_info(channel="C0LOBBY001"))["channel"]
    shared = (await env.client.conversations_info(channel="C0SHARED01"))["channel"]

    assert (ops["is_member"], lobby["is_member"]) == (True, False)
    assert (ops["is_ext_shared"], shared["is_ext_shared"]) == (False, True)
    assert await refusal(env.client.conversations_info(channel="C0QUIET001")) == "channel_not_found"
    env.slack.workspace.app.scopes.discard("channels:read")
    assert await refusal(env.client.conversations_info(channel="C0OPS00001")) == "missing_scope"


async def test_calls_are_recorded_without_tokens(env: SlackEnv) -> None:
    form = {"token": env.slack.bot_token, "bot": "B0BOT00001"}

    await env.client.api_call("bots.info", data=form)

    [call] = env.slack.called("bots.info")
    assert (call.ok, call.args, call.status) == (True, {"bot": "B0BOT00001"}, 200)
