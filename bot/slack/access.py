"""Looks up policies, and the projects that a person may use from a channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot.cancellation import policy as rules
from bot.cancellation.errors import UnknownProject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.cancellation.errors import NotAllowed
    from bot.cancellation.policy import Policy
    from bot.cancellation.projects import Project
    from bot.services.service import CancellationService
    from bot.slack.directory import Directory
    from bot.slack.payloads import Actor


async def allowed_projects(
    directory: Directory, actor: Actor, channel: str, candidates: Iterable[Project]
) -> list[Project]:
    """Return the candidates for which this person may request cancellations in this channel.

    Raises:
        NotAllowed: the person may use none of them; this is the refusal of the first.
        UnknownProject: there are no candidates.
        DirectoryError: Slack did not say who the person is.
    """
    projects = list(candidates)
    checks = (_refusal(directory, actor, channel, project) for project in projects)
    refusals = await asyncio.gather(*checks)
    allowed = [project for project, no in zip(projects, refusals, strict=True) if no is None]
    if not allowed:
        raise next(filter(None, refusals), UnknownProject())
    return allowed


async def _refusal(
    directory: Directory, actor: Actor, channel: str, project: Project
) -> NotAllowed | None:
    policy = project.policy
    if refusal := rules.may_use_channel(policy, channel):
        return refusal
    return rules.may_request(policy, await directory.person(actor, policy.requesters))


def require_policy(service: CancellationService, project_id: str) -> Policy:
    """Return the policy of a project; raises `UnknownProject`."""
    policy = service.policy_of(project_id)
    if policy is None:
        raise UnknownProject
    return policy
