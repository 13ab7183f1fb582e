"""Answers `list` and `history`: private messages, once Atlas or the ledger have answered."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bot.atlas import AtlasError
from bot.cancellation.errors import CancellationError
from bot.slack.error_messages import sentence_for
from bot.slack.errors import DirectoryTrouble
from bot.slack.lists import history_views as history_blocks
from bot.slack.lists import views as list_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cancellation.projects import Project
    from bot.slack.access import AllowedProjects
    from bot.slack.actor import Actor
    from bot.slack.context import Services
    from bot.slack.private_reply import ReplyTarget

#: Seconds to wait for the names of clusters, for a suggestion only.
FOR_NAMES = 2.0


class Listings:
    """The private lists."""

    def __init__(self, shared: Services, admission: AllowedProjects) -> None:
        self._desk = shared.desk
        self._telling = shared.telling
        self._links = shared.links
        self._admission = admission

    async def show_list(
        self, cluster: str | None, who: Actor, spot: ReplyTarget, start: int = 0
    ) -> None:
        """Show what can be cancelled now, from the job at `start` on."""
        try:
            admitted = await self._admitted(who, spot)
        except (CancellationError, DirectoryTrouble) as error:
            await self._telling.tell(spot, sentence_for(error))
            return
        listing = await self._desk.finder.listing(admitted, cluster=cluster)
        if cluster and not listing.jobs and not listing.unseen:
            names = await self._names(admitted)
            if cluster not in names:
                near = difflib.get_close_matches(cluster, names)
                await self._telling.tell(spot, list_blocks.no_such_cluster(cluster, near))
                return
        await self._telling.show(spot, list_blocks.message(listing, cluster, start))

    async def show_history(self, count: int, who: Actor, spot: ReplyTarget) -> None:
        """Show the last requests."""
        try:
            admitted = await self._admitted(who, spot)
            names = {project.id: project.name for project in admitted}
            past = await self._desk.history.last(count, names)
        except (CancellationError, DirectoryTrouble) as error:
            await self._telling.tell(spot, sentence_for(error))
        else:
            await self._telling.show(spot, history_blocks.message(past, names, self._links))

    async def _admitted(self, who: Actor, spot: ReplyTarget) -> list[Project]:
        where = spot.channel or spot.user
        return await self._admission.admit(who, where, self._desk.projects.all)

    async def _names(self, projects: Sequence[Project]) -> list[str]:
        names: list[str] = []
        for project in projects:
            try:
                names += await self._desk.finder.clusters(project.id, patience=FOR_NAMES)
            except AtlasError:
                continue  # `listing` would have said so; this is for a suggestion
        return names
