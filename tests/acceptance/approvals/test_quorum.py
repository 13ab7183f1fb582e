"""The quorum: the number of people, who counts, and people whom Slack does not identify."""

import asyncio
from pathlib import Path

from tests.acceptance.approvals.actions import (
    APPROVE,
    DENY,
    GROUP,
    ONE,
    ask,
    click,
    job_of,
    open_approval_environment,
)


async def test_concurrent_approvals_give_one_cancellation(tmp_path: Path) -> None:
    """The later click is answered with the name of the first person."""
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        acks = await asyncio.gather(
            *(env.slack.people.clicks(user, card, APPROVE, stale=True) for user in ("ada", "abe"))
        )
        ending = await env.wait_for_outcome(job_of(card))
        answer = await env.slack.until(lambda: env.ephemerals("ada") + env.ephemerals("abe"))

        assert all(ack.ok for ack in acks)
        assert ending.state == "cancelled"
        assert env.atlas_methods(job_of(card)).count("DELETE") == 1
        assert len(answer) == 1
        assert "approved by @Ada" in answer[0] or "approved by @Abe" in answer[0]


async def test_removed_group_member_may_not_approve(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        env.slack.workspace.groups[GROUP].users.clear()
        for action in (APPROVE, DENY):
            answer = await click(env, "ada", card, action)

            assert answer.private == (
                "You may not approve or deny this request. "
                "This may be done by @approvers: please ask one of them."
            )
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0
