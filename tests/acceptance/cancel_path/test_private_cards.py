"""The card of a command where the bot may not post."""

import pytest

from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment

JOB = RUNNING[1]


@pytest.mark.parametrize("channel", ["quiet", "lobby"])
async def test_card_goes_to_the_direct_message_where_the_bot_may_not_post(
    env: BotEnvironment, channel: str
) -> None:
    view = await env.open_dialog(LIVE, where=channel)
    shown = env.slack.state.text_of(view)

    assert "The bot cannot post in this channel: it is not a member." in shown
    assert "The card goes to your direct messages with the bot." in shown
    await env.slack.people.submits("rina", view, {"reason": ""})
    ending = await env.wait_for_outcome(LIVE[1], env.slack.state.dm("rina"))
    assert ending.state == "cancelled"
    assert env.slack.state.messages(channel) == []
    assert "direct messages with the bot" in env.slack.state.text_of(
        env.slack.state.view_of("rina") or {}
    )


async def test_card_falls_back_when_the_bot_is_removed_after_the_lookup(
    env: BotEnvironment,
) -> None:
    """It could post when the dialog was drawn; the post itself is refused."""
    view = await env.open_dialog(RUNNING)
    env.slack.workspace.channel("ops").members.discard(env.slack.workspace.app.bot_user)
    await env.slack.people.submits("rina", view, {"reason": ""})
    ending = await env.wait_for_outcome(JOB, env.slack.state.dm("rina"))

    assert ending.state == "cancelled"
    assert env.slack.state.messages("ops") == []
