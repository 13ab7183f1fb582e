"""Actors, channels and reply targets of payloads; the bot's identity."""

from typing import Any

import pytest
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.cancellation.lifecycle import Card
from bot.slack.client import Identity, Links
from bot.slack.dependencies import Interaction, channel_of, interaction_of
from bot.slack.payloads import actor_of
from tests.unit.slack.fake_slack import HOME, IDENTITY, LINKS

GRID = Identity(team=HOME, user="U0BOT", enterprise="E0ORG")


def click(user_team: str | None, installed: str = HOME) -> dict[str, Any]:
    user = {"id": "U1"} | ({"team_id": user_team} if user_team else {})
    return {"user": user, "team": {"id": installed}}


def test_actor_of_a_command_is_read_from_flat_fields() -> None:
    actor = actor_of({"user_id": "U1", "team_id": HOME}, IDENTITY)

    assert (actor.id, actor.team, actor.is_outsider) == ("U1", HOME, False)


@pytest.mark.parametrize(
    ("body", "is_outsider"),
    [
        (click(HOME), False),
        (click(None), False),
        (click("T0OTHER"), True),
        (click("T0OTHER", installed="T0OTHER"), True),
        (click(None, installed="T0OTHER"), True),
    ],
)
def test_team_of_the_user_decides_about_outsiders(body: dict[str, Any], is_outsider: bool) -> None:
    assert actor_of(body, IDENTITY).is_outsider is is_outsider


def test_actor_of_an_organization_is_no_outsider_by_the_payload() -> None:
    assert not actor_of(click("T0SISTER"), GRID).is_outsider


@pytest.mark.parametrize(
    ("body", "channel"),
    [
        ({"channel_id": "C1"}, "C1"),
        ({"channel_id": ""}, None),
        ({"channel": {"id": "C1"}}, "C1"),
        ({"container": {"channel_id": "C1"}}, "C1"),
        ({"container": {"type": "view"}}, None),
    ],
)
def test_channel_is_read_from_any_of_its_fields(body: dict[str, Any], channel: str | None) -> None:
    assert channel_of(body) == channel


def test_interaction_has_actor_channel_trigger_and_response_url() -> None:
    body = {
        **click(HOME),
        "channel": {"id": "C1"},
        "response_url": "https://x",
        "trigger_id": "1.2",
    }

    assert interaction_of(body, IDENTITY) == Interaction(
        actor=actor_of(body, IDENTITY), channel_id="C1", response_url="https://x", trigger_id="1.2"
    )


def test_interaction_without_a_channel_is_in_the_persons_direct_messages() -> None:
    assert interaction_of(click(HOME), IDENTITY).channel == "U1"


def answer(scopes: str) -> AsyncSlackResponse:
    """Return Slack's answer to `auth.test`."""
    return AsyncSlackResponse(
        client=None,
        http_verb="POST",
        api_url="auth.test",
        req_args={},
        data={"team_id": HOME, "user_id": "U0BOT"},
        headers={"x-oauth-scopes": scopes},
        status_code=200,
    )


def test_scopes_decide_whether_the_bot_posts_anywhere() -> None:
    assert Identity.of(answer("commands,chat:write.public")).posts_anywhere
    assert not Identity.of(answer("commands,chat:write")).posts_anywhere


def test_link_to_a_message_equals_slacks() -> None:
    card = Card(channel="C0OPS", ts="1700000000.000100")
    nowhere = Links(atlas="", identity=Identity(team=HOME, user="U0BOT"))

    assert LINKS.message(card) == "https://shop.slack.com/archives/C0OPS/p1700000000000100"
    assert nowhere.message(card) is None
