"""The channel of a request's card, and requests that are refused without one."""

from pathlib import Path

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.workspace import Channel
from tests.acceptance.actions import (
    ADA,
    APPROVE,
    ONE,
    RINA,
    Environ,
    Json,
    click,
    open_approval_environment,
    shows,
)
from tests.acceptance.environment import BotEnvironment

AUDIT = "C0AUDIT001"
AUDITED: Environ = ONE | {"BOT_AUDIT_CHANNEL": AUDIT}


def with_audit(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
    members = {ADA, RINA, "U0ABE00001", slack.workspace.app.bot_user}
    slack.workspace.add(Channel(id=AUDIT, name="audit", kind="private", members=members))


async def asked_from(env: BotEnvironment, where: str) -> tuple[str, Json]:
    """Ask in `where`; return the job, and the dialog as it is then shown."""
    job = env.new_job()
    dialog = await env.open_dialog(job, where=where)
    ack = await env.slack.people.submits("rina", dialog, {"reason": "started by mistake"})
    assert ack.ok
    return job[1], dialog


async def test_card_goes_to_the_audit_channel_and_the_requester_gets_a_private_link(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, AUDITED, before=with_audit) as env:
        job, dialog = await asked_from(env, "ops")
        card = await shows(env, job, "awaiting", AUDIT)
        address = f"https://sandbox.slack.com/archives/{AUDIT}/p{card['ts'].replace('.', '')}"
        await env.slack.until(lambda: address in str(env.slack.state.view_of("rina")))

        assert "The card goes to #audit." in env.slack.state.text_of(dialog)
        assert env.slack.state.messages("ops") == []
        await click(env, "ada", card, APPROVE)
        assert (await env.wait_for_outcome(job, AUDIT)).state == "cancelled"
        assert env.slack.state.messages("ops") == []


async def test_request_where_the_bot_cannot_post_is_approved_in_a_direct_message(
    tmp_path: Path,
) -> None:
    """In the channel of the command, and in the audit channel of which it is no member."""
    async with open_approval_environment(tmp_path, ONE) as env:
        job, dialog = await asked_from(env, "quiet")
        card = await shows(env, job, "awaiting", env.slack.state.dm("rina"))
        copy = await shows(env, job, "awaiting", env.slack.state.dm("ada"))

        assert "and to those of the approvers" in env.slack.state.text_of(dialog)
        assert "The bot cannot post in the channel of the command" in env.slack.state.text_of(card)
        assert "in the thread of the card" not in env.slack.state.text_of(copy)
        assert not (await click(env, "ada", copy, APPROVE)).private
        ending = await env.wait_for_outcome(job, env.slack.state.dm("rina"))
        assert ending.state == "cancelled"
        assert await shows(env, job, "cancelled", env.slack.state.dm("ada"))
