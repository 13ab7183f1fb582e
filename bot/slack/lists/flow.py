"""Answers `list` and `history`: private messages, once Atlas or the ledger have answered."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bot.atlas import AtlasError
from bot.cancellation.errors import CancellationError
from bot.slack.access import allowed_projects
from bot.slack.error_messages import sentence_for
from bot.slack.errors import DirectoryTrouble
from bot.slack.lists import history_views as history_blocks
from bot.slack.lists import views as list_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cancellation.projects import Project
    from bot.slack.bolt_app import Dependencies
    from bot.slack.payloads import Actor
    from bot.slack.private_reply import ReplyTarget

#: Seconds to wait for the names of clusters, for a suggestion only.
FOR_NAMES = 2.0


class Listings:
    """The private lists."""

    def __init__(self, deps: Dependencies) -> None:
        self._service = deps.service
        self._replies = deps.replies
        self._links = deps.links
        self._directory = deps.directory

    async def show_list(
        self, cluster: str | None, actor: Actor, reply_to: ReplyTarget, start: int = 0
    ) -> None:
        """Show what can be cancelled now, from the job at `start` on."""
        try:
            admitted = await self._admitted(actor, reply_to)
        except (CancellationError, DirectoryTrouble) as error:
            await self._replies.send_text(reply_to, sentence_for(error))
            return
        listing = await self._service.finder.listing(admitted, cluster=cluster)
        if cluster and not listing.jobs and not listing.unseen:
            names = await self._names(admitted)
            if cluster not in names:
                near = difflib.get_close_matches(cluster, names)
                await self._replies.send_text(reply_to, list_blocks.no_such_cluster(cluster, near))
                return
        await self._replies.send(reply_to, list_blocks.message(listing, cluster, start))

    async def show_history(self, count: int, actor: Actor, reply_to: ReplyTarget) -> None:
        """Show the last requests."""
        try:
            admitted = await self._admitted(actor, reply_to)
            names = {project.id: project.name for project in admitted}
            past = await self._service.history.recent(count, names)
        except (CancellationError, DirectoryTrouble) as error:
            await self._replies.send_text(reply_to, sentence_for(error))
        else:
            await self._replies.send(reply_to, history_blocks.message(past, names, self._links))

    async def _admitted(self, actor: Actor, reply_to: ReplyTarget) -> list[Project]:
        where = reply_to.channel or reply_to.user
        return await allowed_projects(self._directory, actor, where, self._service.projects.all)

    async def _names(self, projects: Sequence[Project]) -> list[str]:
        names: list[str] = []
        for project in projects:
            try:
                names += await self._service.finder.clusters(project.id, patience=FOR_NAMES)
            except AtlasError:
                continue  # `listing` would have said so; this is for a suggestion
        return names
