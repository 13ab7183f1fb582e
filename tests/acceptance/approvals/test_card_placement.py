"""A request without a channel in which the bot can post."""

from pathlib import Path

from tests.acceptance.actions import (
    APPROVE,
    ONE,
    Json,
    click,
    open_approval_environment,
    shows,
)
from tests.acceptance.environment import BotEnvironment


async def asked_from(env: BotEnvironment, where: str) -> tuple[str, Json]:
    """Ask in `where`; return the job, and the dialog as it is then shown."""
    job = env.new_job()
    dialog = await env.open_dialog(job, where=where)
    ack = await env.slack.people.submits("rina", dialog, {"reason": "started by mistake"})
    assert ack.ok
    return job[1], dialog


async def test_request_where_the_bot_cannot_post_is_approved_in_a_direct_message(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        job, dialog = await asked_from(env, "quiet")
        assert await shows(env, job, "awaiting", env.slack.state.dm("rina"))
        copy = await shows(env, job, "awaiting", env.slack.state.dm("ada"))

        assert "and to those of the approvers" in env.slack.state.text_of(dialog)
        assert "The bot cannot post in this channel" in env.slack.state.text_of(dialog)
        assert "in the thread of the card" not in env.slack.state.text_of(copy)
        assert not (await click(env, "ada", copy, APPROVE)).private
        ending = await env.wait_for_outcome(job, env.slack.state.dm("rina"))
        assert ending.state == "cancelled"
        assert await shows(env, job, "cancelled", env.slack.state.dm("ada"))
