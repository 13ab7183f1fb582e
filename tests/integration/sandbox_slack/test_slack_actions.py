"""Actions of people in channels, and their payloads for the app."""

import pytest
from slack_sdk.signature import Clock, SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import CannotDo, FakeSlackServer, Settings
from tests.integration.sandbox_slack.blocks import Json, actions, button, section
from tests.integration.sandbox_slack.conftest import SlackEnv
from tests.integration.sandbox_slack.receiver import Answer, AppReceiver

OPS = "C0OPS00001"


async def card(client: AsyncWebClient, channel: str = OPS, *blocks: Json) -> None:
    shown = list(blocks) or [actions(button(value="r1"))]
    await client.chat_postMessage(channel=channel, text="card", blocks=shown)


async def test_payloads_over_http_carry_slacks_signature(env: SlackEnv) -> None:
    await env.slack.people.types("rina", "#ops", "/cancel-restore “smart” & 50%")

    [request] = env.app.requests
    verifier = SignatureVerifier(env.slack.signing_secret, clock=_At(env.slack))
    assert verifier.is_valid_request(request.raw, request.headers)
    assert request.payload["text"] == "“smart” & 50%"


class _At(Clock):
    """The verifier's clock: the time of the fake Slack."""

    def __init__(self, slack: FakeSlackServer) -> None:
        self._clock = slack.world.clock

    def now(self) -> float:
        return self._clock()


async def test_app_that_is_slow_shows_as_a_timeout() -> None:
    answer = Answer(seconds=0.2)
    async with (
        AppReceiver(answers=[answer]).open() as app,
        FakeSlackServer(request_url=app.url, settings=Settings(ack_seconds=0.05)) as slack,
    ):
        assert (
            await slack.people.types("rina", "#ops", "/cancel-restore")
        ).error == "operation_timeout"


@pytest.mark.parametrize(
    ("user", "channel"),
    [
        ("gus", "#quiet"),
        ("olga", "#ops"),
        ("dan", "#ops"),
        ("olga", "#shared"),
        ("rina", "#attic"),
    ],
)
async def test_command_requires_membership_of_channel_and_workspace(
    env: SlackEnv, user: str, channel: str
) -> None:
    with pytest.raises(CannotDo):
        await env.slack.people.types(user, channel, "/cancel-restore")

    assert env.app.requests == []


@pytest.mark.parametrize(
    ("channel", "name"), [("#ops", "ops"), ("#quiet", "privategroup"), ("dm", "directmessage")]
)
async def test_private_channel_names_are_hidden(env: SlackEnv, channel: str, name: str) -> None:
    place = env.slack.state.dm("rina") if channel == "dm" else channel

    await env.slack.people.types("rina", place, "/cancel-restore")

    assert env.app.payload["channel_name"] == name


async def test_buttons_with_one_action_id_differ_by_value(env: SlackEnv) -> None:
    rows = [section(str(n), accessory=button("open", value=str(n))) for n in (1, 2)]
    await card(env.client, OPS, *rows)
    [message] = env.slack.state.messages("#ops")

    with pytest.raises(CannotDo, match="There are 2 open here"):
        await env.slack.people.clicks("ada", message, "open")
    await env.slack.people.clicks("ada", message, "open", value="2")

    assert env.app.payload["actions"][0]["value"] == "2"


async def test_button_that_is_gone_can_only_be_clicked_by_a_stale_client(env: SlackEnv) -> None:
    await card(env.client)
    [seen] = env.slack.state.messages("#ops")
    await env.client.chat_update(channel=OPS, ts=seen["ts"], text="done", blocks=[])

    with pytest.raises(CannotDo, match="There is no approve here"):
        await env.slack.people.clicks("ada", seen, "approve")
    assert (await env.slack.people.clicks("ada", seen, "approve", stale=True)).ok

    assert env.app.payload["message"]["text"] == "card"


async def test_click_requires_channel_membership(env: SlackEnv) -> None:
    await card(env.client)
    [message] = env.slack.state.messages("#ops")

    for stale in (False, True):
        with pytest.raises(CannotDo, match="olga does not see this message"):
            await env.slack.people.clicks("olga", message, "approve", stale=stale)

    assert env.app.requests == []


@pytest.mark.parametrize(
    ("setting", "team"), [("installed", "T0SANDBOX1"), ("actor", "T0OTHER001")]
)
async def test_external_member_of_a_shared_channel_can_click(setting: str, team: str) -> None:
    settings = Settings(connect_team="actor" if setting == "actor" else "installed")
    async with (
        AppReceiver().open() as app,
        FakeSlackServer(request_url=app.url, settings=settings) as slack,
    ):
        await card(AsyncWebClient(slack.bot_token, base_url=slack.api_url), "C0SHARED01")

        await slack.people.clicks("olga", slack.state.messages("#shared")[0], "approve")

        assert app.payload["user"]["team_id"] == "T0OTHER001"
        assert app.payload["team"]["id"] == team
