"""The shortcut in a message's menu: the first address, or the first id, in threads too."""

from bot.sandbox.atlas import PROJECT_ID
from tests.acceptance.environment import LIVE, BotEnvironment
from tests.acceptance.job_search.worlds import backup_calls, view_with

JOB = LIVE[1]
API = f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT_ID}/clusters/prod-eu"


async def test_shortcut_opens_the_job_of_a_message(env: BotEnvironment) -> None:
    text = f"restore job {JOB.upper()} of *prod-eu* should not be, see <https://example.com/wiki|x>"
    message = env.slack.people.says("abe", "ops", text)
    before = len(env.atlas.calls)
    ack = await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    details = env.slack.state.text_of(await view_with(env, "Download link"))

    assert ack.ok
    assert f"`{JOB}`" in details
    assert len(backup_calls(env.atlas.calls[before:])) <= 5
    assert env.slack.complaints == []


async def test_shortcut_in_a_thread_posts_the_card_in_its_channel(env: BotEnvironment) -> None:
    parent = env.slack.people.says("abe", "ops", "Atlas alert")
    message = env.slack.people.says("abe", "ops", f"prod-eu {JOB}", thread_ts=parent["ts"])
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    view = await view_with(env, "Download link")
    await env.slack.people.submits("rina", view, {"reason": "x"})

    assert (await env.wait_for_outcome(JOB)).state == "cancelled"


async def test_message_without_a_job_gets_a_private_answer(env: BotEnvironment) -> None:
    message = env.slack.people.says("abe", "ops", "lunch? <https://example.com/menu>")
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    (message_text,) = await env.wait_for_ephemerals("rina")

    assert "names no job" in message_text


async def test_link_to_a_cluster_opens_its_pickers(env: BotEnvironment) -> None:
    message = env.slack.people.says("abe", "ops", f"look at <{API}>")
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")

    await view_with(env, "2 downloads of `prod-eu`")
