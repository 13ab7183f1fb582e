"""Every command gets an answer: a dialog, or a private sentence with an example."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment

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


#: Any text of a keyboard or a clipboard, mixed with words of the grammar.
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            ["prod-eu", "help", "list", "history", JOB, JOB[:-1], "/", "..", "%2e", "<", ">", "&",
             "https://cloud.mongodb.com/v2/", "<!channel>", "*", "`", "“", "\u00a0", "\x00", "-1"]
        ),
        max_size=6,
    ).map(" ".join),
)  # fmt: skip


# Hypothesis draws in a thread of its own, while the bot draws its jitter from the same generator.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
async def test_every_command_text_gets_an_answer(tmp_path: Path) -> None:
    """Each text gets an ack, and then a dialog, a search, or a private message."""
    async with open_environment(tmp_path) as env:
        loop = asyncio.get_running_loop()

        async def answered(text: str) -> None:
            seen = len(env.slack.state.ephemerals("rina"))
            opened = len(env.slack.called("views.open"))
            ack = await env.send_command("rina", text)
            await env.slack.until(
                lambda: (
                    len(env.slack.state.ephemerals("rina")) > seen
                    or len(env.slack.called("views.open")) > opened
                )
            )
            for message in env.slack.state.ephemerals("rina")[seen:]:
                assert "<!channel>" not in str(message["blocks"])
            assert ack.ok

        @settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
        @given(TEXTS)
        def everything(text: str) -> None:
            asyncio.run_coroutine_threadsafe(answered(text), loop).result(20)

        await asyncio.to_thread(everything)
        assert env.slack.complaints == []
        assert env.atlas.deletes() == []
