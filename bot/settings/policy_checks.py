"""Finds policies under which no request could ever be approved."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.cancellation.policy import Policy


def policy_problems(policy: Policy, called: Callable[[str], str]) -> list[str]:
    """Say why no request could get its approvals; nothing where somebody's could.

    Members of user groups are known to Slack only, so a policy that names a group passes here.

    Args:
        policy: the rules of one project.
        called: the name in sentences of a rule (`approvals`, `approvers`, …).
    """
    if policy.approvals == 0 or policy.approvers.everyone or policy.approvers.groups:
        return []
    able = len(policy.approvers.users)
    fix = "name more people there, or a user group, or ask for fewer"
    if able < policy.approvals:
        names = f"{called('approvers')} names {_people(able)}"
        return [f"{called('approvals')} is {policy.approvals}, but {names}: {fix}"]
    if _somebody_can_be_approved(policy):
        return []
    left = f"who asks cannot approve, which leaves {_people(able - 1)} in {called('approvers')}"
    fix = f"{fix}, or set {called('self_approval')}"
    return [f"{called('approvals')} is {policy.approvals}, but {left}: {fix}"]


def _somebody_can_be_approved(policy: Policy) -> bool:
    """Whether there is a requester beside whom enough approvers are left."""
    if policy.self_approval or policy.requesters.everyone or policy.requesters.groups:
        return True
    approvers = policy.approvers.users
    return any(len(approvers - {user}) >= policy.approvals for user in policy.requesters.users)


def _people(count: int) -> str:
    return {0: "nobody", 1: "one person"}.get(count, f"{count} people")
