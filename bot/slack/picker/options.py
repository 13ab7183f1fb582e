"""What the pickers offer, within the time that Slack gives for an answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from bot.atlas import AtlasError, JobRef, is_cluster_name
from bot.cancellation.errors import CancellationError
from bot.slack import ids
from bot.slack.access import allowed_projects
from bot.slack.errors import DirectoryTrouble
from bot.slack.picker import views as picker_views
from bot.slack.picker.state import chosen_in, read_choice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from bot.cancellation.projects import Project
    from bot.slack.blockkit import Block
    from bot.slack.bolt_app import Dependencies
    from bot.slack.payloads import Actor
    from bot.slack.picker.state import Choice

    Offer: TypeAlias = Callable[[Project, Choice], Awaitable[list[Block]]]

#: Seconds for an answer: Slack waits 3.
PATIENCE = 2.0

SLOW = "Atlas has not answered yet: open this list again in a moment"


class Offers:
    """The options of the selects that ask for them."""

    def __init__(
        self,
        deps: Dependencies,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = deps.service
        self._directory = deps.directory
        self._now = now

    async def clusters(self, view: Mapping[str, Any], typed: str, actor: Actor) -> list[Block]:
        """Offer the clusters of the chosen project."""

        async def offer(project: Project, _choice: Choice) -> list[Block]:
            clusters = await self._service.finder.clusters(project.id, patience=PATIENCE)
            if not clusters:
                return picker_views.saying("This project has no cluster")
            return picker_views.cluster_options(clusters, typed)

        return await self._in_time(view, actor, offer)

    async def jobs(self, view: Mapping[str, Any], typed: str, actor: Actor) -> list[Block]:
        """Offer the jobs of the chosen cluster that can be cancelled."""

        async def offer(project: Project, choice: Choice) -> list[Block]:
            cluster = chosen_in(view, ids.CLUSTER) or choice.cluster
            if not cluster or not is_cluster_name(cluster):
                return picker_views.saying("Choose a cluster first")
            jobs = await self._service.finder.jobs(project.id, cluster, patience=PATIENCE)
            if not jobs:
                return picker_views.saying("No restore job of this cluster can be cancelled now")
            refs = [JobRef(project.id, cluster, job.id) for job in jobs]
            return picker_views.job_options([*zip(refs, jobs, strict=True)], typed, self._now())

        return await self._in_time(view, actor, offer)

    async def _in_time(self, view: Mapping[str, Any], actor: Actor, offer: Offer) -> list[Block]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._offered(view, actor, offer)
        except TimeoutError:
            return picker_views.saying(SLOW)
        except (AtlasError, CancellationError, DirectoryTrouble) as error:
            return picker_views.saying(str(error))

    async def _offered(self, view: Mapping[str, Any], actor: Actor, offer: Offer) -> list[Block]:
        choice = read_choice(view)
        if choice is None:
            return picker_views.saying("This dialog is of another version of the bot")
        chosen = chosen_in(view, ids.PROJECT) or choice.project_id
        project = self._service.projects.find(chosen) if chosen else None
        if project is None:
            return picker_views.saying("Choose a project first")
        await allowed_projects(self._directory, actor, choice.asked_in, [project])
        return await offer(project, choice)
