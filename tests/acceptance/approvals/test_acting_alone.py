"""Breaking the glass: from the dialog to the DELETE without approval, and its review."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from bot.sandbox.slack.workspace import Group
from tests.acceptance.approvals.actions import (
    ABE,
    ADA,
    GROUP,
    ONE,
    OPS,
    RINA,
    click,
    mentions,
    open_approval_environment,
    reads,
    record_of,
)
from tests.acceptance.environment import state_of
from tests.support.timings import SHORT_TIMINGS

if TYPE_CHECKING:
    from pathlib import Path

    from bot.sandbox.atlas import FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer
    from tests.acceptance.approvals.actions import Environ
    from tests.acceptance.environment import BotEnvironment

REVIEW = "cancel_restore_review"
ON_CALL = "S0ONCALL01"
BY_NAME: Environ = ONE | {"BOT_BREAK_GLASS": RINA, "BOT_REQUIRE_REASON": "false"}
BY_GROUP: Environ = ONE | {"BOT_BREAK_GLASS": ON_CALL}
REASON = "the copy must not leave"
GLASS = {"alone": ["alone"], "reason": REASON}


def on_call(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
    group = Group(id=ON_CALL, handle="on-call", users=[RINA])
    slack.workspace.groups[ON_CALL] = group


async def unreviewed(env: BotEnvironment) -> str:
    """Return the metric's line after the next sweep."""
    await asyncio.sleep(2 * SHORT_TIMINGS.sweep_interval)
    async with aiohttp.ClientSession() as session, session.get(f"{env.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(line for line in lines if line.startswith("cancel_restore_unreviewed_requests "))


async def test_job_is_cancelled_without_approval_and_reviewed_by_another_approver(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, BY_NAME) as env:
        job = env.new_job()
        dialog = await env.looks_up(job)
        without_reason = await env.slack.people.submits("rina", dialog, {"alone": ["alone"]})
        ack = await env.slack.people.submits("rina", dialog, GLASS)
        card = (await env.ends(job[1])).message
        replies = env.slack.state.replies(card)

        assert list(without_reason.errors) == ["reason"]
        assert not ack.errors
        assert job[1] in env.atlas.world.cancellations
        assert mentions(replies, GROUP) == 1
        assert state_of(replies[-1]) == "cancelled"  # the outcome is last
        for approver in (ADA, ABE):
            (message,) = env.slack.state.messages(env.slack.state.dm(approver))
            assert REASON in env.slack.state.text_of(message)
        assert await unreviewed(env) == "cancel_restore_unreviewed_requests 1.0"

        own = await click(env, "rina", card, REVIEW)
        without_right = await click(env, "sam", card, REVIEW)
        await env.slack.people.clicks("ada", card, REVIEW)
        reviewed = await reads(env, card, "Reviewed by")
        late = await click(env, "abe", card, REVIEW, stale=True)

        assert "another person must review it" in own.private
        assert "Only a person who may approve" in without_right.private
        assert "reviewed already" in late.private
        assert "Ada" in late.private
        assert "[Reviewed]" not in env.slack.state.text_of(reviewed)
        last = await env.slack.until(lambda: env.slack.state.replies(card)[len(replies) :])
        assert "<@U0ADA00001> reviewed" in str(last)
        assert await unreviewed(env) == "cancel_restore_unreviewed_requests 0.0"
    (events,) = record_of(tmp_path).values()
    names = [event["event"] for event in events]
    assert names[:3] == ["request:created", "request:acted_alone", "request:approved"]
    assert (names[-1], events[-1]["actor"]) == ("request:reviewed", ADA)


async def test_home_tab_of_an_approver_has_what_is_to_be_reviewed(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, BY_NAME) as env:
        job = env.new_job()
        await env.slack.people.submits("rina", await env.looks_up(job), GLASS)
        await env.ends(job[1])
        await env.slack.people.opens_home("ada")
        home = await env.slack.until(lambda: env.slack.state.home_of("ada"))
        assert home is not None
        shown = env.slack.state.text_of(home)

        assert "to be reviewed" in shown
        assert "[Reviewed]" in shown


async def test_right_that_is_lost_while_the_dialog_is_open_is_an_error_in_it(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, BY_GROUP, before=on_call) as env:
        dialog = await env.looks_up(env.new_job())
        env.slack.workspace.groups[ON_CALL].users.clear()
        ack = await env.slack.people.submits("rina", dialog, GLASS)

        assert "You may not cancel without approval" in ack.errors["alone"]
        assert env.slack.state.messages(OPS) == []
        assert env.atlas.world.cancellations == []
    assert record_of(tmp_path) == {}


async def test_only_people_who_may_act_alone_see_the_checkbox(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, BY_GROUP, before=on_call) as env:
        allowed = await env.looks_up(env.new_job(), "rina")
        others = await env.looks_up(env.new_job(), "sam")

        assert "alone" in [block["block_id"] for block in allowed["blocks"]]
        assert "alone" not in [block["block_id"] for block in others["blocks"]]
