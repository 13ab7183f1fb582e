"""The shortcut in a message's menu, in a thread."""

from tests.acceptance.environment import LIVE, BotEnvironment
from tests.acceptance.job_search.worlds import view_with

JOB = LIVE[1]


async def test_shortcut_in_a_thread_posts_the_card_in_its_channel(env: BotEnvironment) -> None:
    parent = env.slack.people.says("abe", "ops", "Atlas alert")
    message = env.slack.people.says("abe", "ops", f"prod-eu {JOB}", thread_ts=parent["ts"])
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    view = await view_with(env, "Download link")
    await env.slack.people.submits("rina", view, {"reason": "x"})

    assert (await env.wait_for_outcome(JOB)).state == "cancelled"
