"""The shortcut in a message's menu: the first address, or the first id, in threads too."""

from tests.acceptance.environment import LIVE, BotEnvironment
from tests.acceptance.job_search.worlds import backup_calls, view_with

JOB = LIVE[1]


async def test_shortcut_opens_the_job_of_a_message(env: BotEnvironment) -> None:
    text = f"restore job {JOB.upper()} of *prod-eu* should not be, see <https://example.com/wiki|x>"
    message = env.slack.people.says("abe", "ops", text)
    before = len(env.atlas.calls)
    ack = await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    details = env.slack.state.text_of(await view_with(env, "Download link"))

    assert ack.ok
    assert f"`{JOB}`" in details
    assert len(backup_calls(env.atlas.calls[before:])) <= 5


async def test_shortcut_in_a_thread_posts_the_card_in_its_channel(env: BotEnvironment) -> None:
    parent = env.slack.people.says("abe", "ops", "Atlas alert")
    message = env.slack.people.says("abe", "ops", f"prod-eu {JOB}", thread_ts=parent["ts"])
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    view = await view_with(env, "Download link")
    await env.slack.people.submits("rina", view, {"reason": "x"})

    assert (await env.wait_for_outcome(JOB)).state == "cancelled"
