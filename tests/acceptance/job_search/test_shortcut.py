"""The shortcut in a message's menu: the first address, or the first id, in threads too."""

from pathlib import Path

import pytest

from bot.sandbox.atlas import PROJECT_ID
from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment
from tests.acceptance.job_search.worlds import backup_calls, view_with

JOB = LIVE[1]
API = f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT_ID}/clusters/prod-eu"


@pytest.mark.parametrize(
    "message_text",
    [
        f"please cancel prod-eu {JOB}",
        f"restore job {JOB.upper()} of *prod-eu* should not be, see <https://example.com/wiki|wiki>",
        f"who started `{JOB}`?",
        f"<{API}/backup/restoreJobs/{JOB}|the job>, and not {RUNNING[1]}",
        f"<{API}> has {JOB}.",
        f"project {PROJECT_ID}, cluster (prod-eu), job {JOB}; thanks!",
        f"shop-prod/prod-eu {JOB}",
    ],
)
async def test_shortcut_opens_the_job_of_a_message(env: BotEnvironment, message_text: str) -> None:
    message = env.slack.people.says("abe", "ops", message_text)
    before = len(env.atlas.calls)
    ack = await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    details = env.slack.state.text_of(await view_with(env, "Download link"))

    assert ack.ok
    assert f"`{JOB}`" in details
    assert len(backup_calls(env.atlas.calls[before:])) <= 5
    assert env.slack.complaints == []


async def test_shortcut_in_a_thread_posts_the_card_in_its_channel(
    env: BotEnvironment,
) -> None:
    parent = env.slack.people.says("abe", "ops", "Atlas alert")
    message = env.slack.people.says("abe", "ops", f"prod-eu {JOB}", thread_ts=parent["ts"])
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    view = await view_with(env, "Download link")
    await env.slack.people.submits("rina", view, {"reason": "x"})

    assert (await env.wait_for_outcome(JOB)).state == "cancelled"


async def test_shortcut_reads_blocks_and_attachments(env: BotEnvironment) -> None:
    message = env.slack.people.says("abe", "ops", "")
    message["attachments"] = [{"fallback": "alert", "fields": [{"title": "Job", "value": JOB}]}]
    stored = env.slack.world.messages.find(message["channel"], message["ts"])
    assert stored
    stored.content["attachments"] = message["attachments"]
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")

    assert f"`{JOB}`" in env.slack.state.text_of(await view_with(env, "Download link"))


async def test_message_without_a_job_gets_a_private_answer(env: BotEnvironment) -> None:
    message = env.slack.people.says("abe", "ops", "lunch? <https://example.com/menu>")
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
    (message_text,) = await env.wait_for_ephemerals("rina")

    assert "names no restore job" in message_text


async def test_link_to_a_cluster_opens_its_pickers(env: BotEnvironment) -> None:
    message = env.slack.people.says("abe", "ops", f"look at <{API}>")
    await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")

    await view_with(env, "2 restore jobs of `prod-eu`")


async def test_person_who_may_not_request_is_refused(tmp_path: Path) -> None:
    async with open_environment(tmp_path, {"BOT_REQUESTERS": "U0ADA00001"}) as env:
        message = env.slack.people.says("abe", "ops", f"look at {JOB}")
        await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")

        await view_with(env, "may not ask")
