"""Which projects a person may look into, from where they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot.cancellation import policy as rules
from bot.cancellation.errors import UnknownProject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.cancellation.errors import NotAllowed
    from bot.cancellation.projects import Project
    from bot.slack.actor import Actor
    from bot.slack.context import Services


class AllowedProjects:
    """Lets people see what they may ask for, and nothing else."""

    def __init__(self, shared: Services) -> None:
        self._directory = shared.directory

    async def admit(self, who: Actor, channel: str, among: Iterable[Project]) -> list[Project]:
        """Return the projects, of `among`, for which this person may ask in this channel.

        Raises:
            NotAllowed: there is none; says why not for the first.
            UnknownProject: `among` is empty.
            DirectoryTrouble: it could not be found out.
        """
        projects = list(among)
        refusals = await asyncio.gather(*(self._refusal(who, channel, each) for each in projects))
        admitted = [each for each, no in zip(projects, refusals, strict=True) if no is None]
        if not admitted:
            raise next(filter(None, refusals), UnknownProject())
        return admitted

    async def _refusal(self, who: Actor, channel: str, project: Project) -> NotAllowed | None:
        policy = project.policy
        if refusal := rules.may_use_channel(policy, channel):
            return refusal
        return rules.may_ask(policy, await self._directory.person(who, policy.requesters))
