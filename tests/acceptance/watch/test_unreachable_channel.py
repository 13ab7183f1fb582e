"""The watch channel takes no posts: new downloads are announced to the approvers directly."""

import asyncio
import json
from typing import Any

import pytest

from tests.acceptance.actions import ABE, ADA, APPROVE
from tests.acceptance.watch.environment import (
    TIMEOUT,
    WatchEnvironment,
    buttons,
    job_state_of,
    settled,
)
from tests.support.polling import wait_until

Json = dict[str, Any]
APPROVERS = {"BOT_APPROVALS": "1", "BOT_APPROVERS": f"{ADA},{ABE}"}


@pytest.fixture
def env(env: WatchEnvironment) -> WatchEnvironment:
    """Take the scope away with which a public channel that the bot left would take posts."""
    env.slack.workspace.app.scopes.discard("chat:write.public")
    env.slack.workspace.channel("ops").members.add(env.slack.workspace.app.bot_user)
    return env


def told(env: WatchEnvironment, job: str, user: str) -> list[Json]:
    """Return the announcements of a job in the direct messages of a person."""
    messages = env.slack.state.messages(env.slack.state.dm(user))
    found = [m for m in messages if m["metadata"]["event_type"] == "cancel_restore_watch"]
    return [m for m in found if m["metadata"]["event_payload"]["job"] == job]


async def told_once(env: WatchEnvironment, job: str, state: str) -> list[Json]:
    """Wait until Ada and Abe have one announcement each, which shows `state`."""

    def shown() -> bool:
        found = [told(env, job, user) for user in ("ada", "abe")]
        return all(each and job_state_of(each[0]) == state for each in found)

    await wait_until(shown, TIMEOUT)
    (ada,), (abe,) = told(env, job, "ada"), told(env, job, "abe")
    return [ada, abe]


async def test_download_is_announced_once_to_each_approver_by_two_replicas(
    env: WatchEnvironment,
) -> None:
    await env.start_bot(**APPROVERS)
    await env.start_bot(**APPROVERS)
    await settled(env)
    env.slack.workspace.channel("ops").is_archived = True
    first, second = env.new_job_id(), env.new_job_id("prod-us")

    (ada, _) = await told_once(env, first, "in_progress")
    assert buttons(ada) == ["Cancel this download"]
    assert "Sent to you directly" in env.slack.state.text_of(ada)
    ada, _ = await told_once(env, second, "in_progress")
    env.atlas.world.job(first).fail()
    await told_once(env, first, "failed")
    assert env.announcements().get(first) is None
    await env.slack.people.clicks("ada", ada, "cancel_restore_open")
    await env.slack.until(lambda: (env.slack.state.view_of("ada") or {}).get("submit"), TIMEOUT)
    await env.slack.people.submits("ada", None, {"reason": "not requested"})
    direct = env.slack.state.dm("abe")
    await env.slack.until(lambda: APPROVE in str(env.slack.state.messages(direct)), TIMEOUT)

    env.slack.workspace.channel("ops").is_archived = False
    await asyncio.sleep(1.5)  # the last answer about the channel is too old then
    third = env.new_job_id()
    await env.wait_for_announcement(third)
    assert third not in str(env.slack.state.messages(env.slack.state.dm("ada")))


async def test_without_named_approvers_readyz_says_that_downloads_reach_no_one(
    env: WatchEnvironment,
) -> None:
    await env.start_bot()
    await settled(env)
    env.slack.workspace.channel("ops").is_archived = True
    job = env.new_job_id()
    details: list[str] = []
    async with asyncio.timeout(TIMEOUT):
        while not details:  # a page sets no event
            details = [*json.loads((await env.get("/readyz"))[1]).get("details", {}).values()]

    assert "new downloads are announced to no one" in details[0]
    assert told(env, job, "ada") == []
