"""What the pickers offer, within the time that Slack gives for an answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from bot.atlas import AtlasError, JobRef, is_cluster_name
from bot.cancellation.errors import CancellationError
from bot.slack import names
from bot.slack.blocks import picker
from bot.slack.choice import chosen_in, read_choice
from bot.slack.errors import DirectoryTrouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from bot.cancellation.projects import Project
    from bot.slack.admission import Admission
    from bot.slack.blocks.kit import Block
    from bot.slack.choice import Choice
    from bot.slack.shared import Shared
    from bot.slack.who import Who

    Offer: TypeAlias = Callable[[Project, Choice], Awaitable[list[Block]]]

#: Seconds for an answer: Slack waits 3.
PATIENCE = 2.0

SLOW = "Atlas has not answered yet: open this list again in a moment"


class Offers:
    """The options of the selects that ask for them."""

    def __init__(
        self,
        shared: Shared,
        admission: Admission,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._desk = shared.desk
        self._admission = admission
        self._now = now

    async def clusters(self, view: Mapping[str, Any], typed: str, who: Who) -> list[Block]:
        """Offer the clusters of the chosen project."""

        async def offer(project: Project, _choice: Choice) -> list[Block]:
            clusters = await self._desk.finder.clusters(project.id, patience=PATIENCE)
            if not clusters:
                return picker.saying("This project has no cluster")
            return picker.cluster_options(clusters, typed)

        return await self._in_time(view, who, offer)

    async def jobs(self, view: Mapping[str, Any], typed: str, who: Who) -> list[Block]:
        """Offer the jobs of the chosen cluster that can be cancelled."""

        async def offer(project: Project, choice: Choice) -> list[Block]:
            cluster = chosen_in(view, names.CLUSTER) or choice.cluster
            if not cluster or not is_cluster_name(cluster):
                return picker.saying("Choose a cluster first")
            jobs = await self._desk.finder.jobs(project.id, cluster, patience=PATIENCE)
            if not jobs:
                return picker.saying("No restore job of this cluster can be cancelled now")
            refs = [JobRef(project.id, cluster, job.id) for job in jobs]
            return picker.job_options([*zip(refs, jobs, strict=True)], typed, self._now())

        return await self._in_time(view, who, offer)

    async def _in_time(self, view: Mapping[str, Any], who: Who, offer: Offer) -> list[Block]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._offered(view, who, offer)
        except TimeoutError:
            return picker.saying(SLOW)
        except (AtlasError, CancellationError, DirectoryTrouble) as error:
            return picker.saying(str(error))

    async def _offered(self, view: Mapping[str, Any], who: Who, offer: Offer) -> list[Block]:
        choice = read_choice(view)
        if choice is None:
            return picker.saying("This dialog is of another version of the bot")
        chosen = chosen_in(view, names.PROJECT) or choice.project_id
        project = self._desk.projects.find(chosen) if chosen else None
        if project is None:
            return picker.saying("Choose a project first")
        await self._admission.admit(who, choice.asked_in, [project])
        return await offer(project, choice)
