"""A deployment with its own slash command and label."""

from pathlib import Path

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.faults import Fault
from tests.acceptance.environment import is_card, open_environment

DEPLOYMENT: dict[str, str | None] = {
    "BOT_COMMAND": "/cancel-eu",
    "BOT_LABEL": "EU production",
    "BOT_APPROVALS": "1",
    "BOT_WATCH_CHANNEL": "C0OPS00001",
    "BOT_WATCH_INTERVAL": "1",
}

#: Those of the example world that can be cancelled; each is announced once.
DOWNLOADS = 7

REFUSED = Fault(kind="error", code="invalid_blocks")


def declare_command(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
    slack.workspace.app.commands = {"/cancel-eu", "/cancel-restore"}


async def test_every_surface_names_the_command_and_the_label_of_the_deployment(
    tmp_path: Path,
) -> None:
    async with open_environment(tmp_path, DEPLOYMENT, http=True, before=declare_command) as env:
        job = env.new_job()
        state = env.slack.state
        await env.slack.until(lambda: len(state.messages("ops")) == DOWNLOADS + 1)
        (announced,) = (m for m in state.messages("ops") if job[1] in str(m["blocks"]))
        await env.slack.people.types("rina", "ops", "/cancel-eu help")
        (text,) = await env.wait_for_ephemerals("rina")
        before = state.view_of("rina")
        await env.slack.people.types("rina", "ops", f"/cancel-eu {' '.join(job)}")
        view = await env.wait_for_dialog("rina", before)
        env.slack.faults.add("chat.postMessage", REFUSED)
        await env.slack.people.submits("rina", view, {"reason": "started by mistake"})
        card = await env.slack.until(
            lambda: next((m for m in state.messages("ops") if is_card(m)), None)
        )
        assert card
        await env.slack.people.opens_home("rina")
        home = await env.slack.until(lambda: state.home_of("rina"))
        assert home

    assert text.count("/cancel-eu") > 5
    assert "/cancel-restore" not in text
    assert not card.get("blocks")
    assert card["text"].startswith("[EU production]")
    assert "`/cancel-eu approve " in card["text"]
    for surface in (announced, home):
        assert "[EU production]" in state.text_of(surface).splitlines()[0]


async def test_command_of_another_deployment_gets_a_private_answer(tmp_path: Path) -> None:
    async with open_environment(tmp_path, DEPLOYMENT, before=declare_command) as env:
        await env.send_command("rina", "list")
        (text,) = await env.wait_for_ephemerals("rina")

    assert "/cancel-restore is not known here. Please type `/cancel-eu help`." in text
