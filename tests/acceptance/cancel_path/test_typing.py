"""Every command gets an answer: a dialog, or a private sentence with an example."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.sandbox.atlas import PROJECT_ID
from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment

JOB = RUNNING[1]

#: The typed text, and a piece of the answer.
WRONG = {
    "not an id": ("prod-eu 1234", "not a command"),
    "an id of 23 digits": (f"prod-eu {JOB[:-1]}", "has 23 characters"),
    "an id of 25 digits": (f"prod-eu {JOB}0", "has 25 characters"),
    "an id with a g": (f"prod-eu {JOB[:-1]}g", "is not a command"),
    "slashes": (f"prod-eu/../../groups {JOB}", "does not know a project"),
    "a slash at the end": (f"prod-eu/ {JOB}", "The cluster's name is missing."),
    "a path": (f"../{JOB} {JOB}", "does not know a project"),
    "two dots": (f".. {JOB}", "is not a cluster's name"),
    "percent signs": (f"prod%2Feu {JOB}", "is not a cluster's name"),
    "an underscore": (f"prod_eu {JOB}", "Did you mean"),
    "a name in two words": (f"my prod_eu {JOB}", "is not a cluster's name"),
    "a question mark": (f"prod?eu {JOB}", "is not a cluster's name"),
    "swapped": (f"{JOB} prod-eu", "comes last"),
    "3,000 characters": ("x" * 3000, "is not a cluster's name"),
    "3,001 characters": ("x" * 3001, "3001 characters long"),
    "3,000 words": ("x " * 1500, "is not a command"),
    "nearly help": ("hlep", "Did you mean"),
    "a project that is not known": (
        f"nowhere/prod-eu {JOB}",
        "/cancel-restore shop-prod/prod-eu 5b622f9287d9d6039aa3fd87",
    ),
    "control characters": ("\x00\x07\x1b[31m", "is not a cluster's name"),
}

#: Spellings of the same job by phones, other pages and people in a hurry.
RIGHT = {
    "as documented": f"prod-eu {JOB}",
    "upper case": f"prod-eu {JOB.upper()}",
    "doubled spaces": f"  prod-eu    {JOB}  ",
    "no-break spaces": f"prod-eu\u00a0{JOB}",
    "a tab and a new line": f"prod-eu\t\n{JOB}",
    "smart quotes": f"“prod-eu” ‘{JOB}’",
    "an en dash": f"prod\u2013eu {JOB}",
    "backticks": f"`prod-eu` `{JOB}`",
    "a zero-width space": f"prod-eu \u200b{JOB}",
    "a byte-order mark": f"\ufeffprod-eu {JOB}",
    "the project by name": f"shop-prod prod-eu {JOB}",
    "the project by id": f"{PROJECT_ID} prod-eu {JOB}",
    "with a slash": f"shop-prod/prod-eu {JOB}",
    "a URL of the API": (
        f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT_ID}/clusters/prod-eu"
        f"/backup/restoreJobs/{JOB}"
    ),
    "a URL as Slack escapes it": (
        f"<https://cloud.mongodb.com/api/atlas/v1.0/groups/{PROJECT_ID}/clusters/prod-eu"
        f"/backup/restoreJobs/{JOB}?pretty=true&amp;envelope=true>"
    ),
}


@pytest.mark.parametrize("http", [False, True])
async def test_invalid_command_gets_a_private_message_with_an_example(
    tmp_path: Path, http: bool
) -> None:
    async with open_environment(tmp_path, http=http) as env:
        for count, (name, (typed, piece)) in enumerate(WRONG.items(), 1):
            ack = await env.send_command("rina", typed)
            message = (await env.wait_for_ephemerals("rina", count))[-1]

            assert ack.ok, name
            assert piece in message, (name, message)
            assert "/cancel-restore" in message, (name, message)
            assert "prod-eu 5b622f9287d9d6039aa3fd87" in message, (name, message)
            assert len(message) < 1000

        assert env.slack.state.views_of("rina") == []
        assert env.slack.state.messages("ops") == []
        assert env.slack.complaints == []
        assert not any("restoreJobs" in call.path for call in env.atlas.calls)


async def test_tolerated_spellings_open_the_dialog(env: BotEnvironment) -> None:
    for name, typed in RIGHT.items():
        before = env.slack.state.view_of("rina")
        await env.send_command("rina", typed)
        view = await env.wait_for_dialog("rina", before)

        assert JOB in env.slack.state.text_of(view), name
        assert view["submit"], name

    assert env.slack.state.ephemerals("rina") == []


@pytest.mark.parametrize("typed", ["", "“”", "\u200b\u2060\ufeff", "<!channel>", "prod-eu", JOB])
async def test_unknown_job_or_cluster_gets_a_dialog_or_a_message(
    env: BotEnvironment, typed: str
) -> None:
    ack = await env.send_command("rina", typed)

    assert ack.ok
    await env.slack.until(
        lambda: bool(env.slack.state.ephemerals("rina") or env.slack.state.views_of("rina"))
    )
    assert env.slack.complaints == []


async def test_help_is_private_with_examples(env: BotEnvironment) -> None:
    await env.send_command("rina", "help")
    (message,) = await env.wait_for_ephemerals("rina")

    assert "/cancel-restore CLUSTER JOB_ID" in message
    assert "shop-prod" in message
    assert env.slack.state.messages("ops") == []


async def test_command_in_a_direct_message_links_to_the_card(
    env: BotEnvironment,
) -> None:
    where = env.slack.state.dm("rina")
    view = await env.open_dialog(RUNNING, where=where)
    shown = env.slack.state.text_of(view)

    assert "direct messages with the bot" in shown
    await env.slack.people.submits("rina", view, {"reason": "from my sofa"})
    ending = await env.wait_for_outcome(JOB, where)
    assert ending.state == "cancelled"
    assert "typed in a direct message" in ending.card


@pytest.mark.parametrize("channel", ["quiet", "lobby"])
async def test_card_goes_to_the_direct_message_where_the_bot_may_not_post(
    env: BotEnvironment, channel: str
) -> None:
    view = await env.open_dialog(LIVE, where=channel)
    shown = env.slack.state.text_of(view)

    assert "The bot cannot post here: it is not in this channel." in shown
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
