"""Finds the job of which only the id is known, and says meanwhile where it looks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.atlas import JobRef
from bot.cancellation.errors import CancellationError
from bot.slack.access import allowed_projects
from bot.slack.dialog import search_views
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import JobTarget
from bot.slack.error_messages import sentence_for
from bot.slack.errors import DirectoryTrouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cancellation.projects import Project
    from bot.services.search_results import ClusterRef, Search
    from bot.slack.blockkit import View
    from bot.slack.bolt_app import Dependencies
    from bot.slack.payloads import Actor
    from bot.slack.private_reply import ReplyTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A job whose place is not known.

    Attributes:
        among: the projects in which it may be.
        cluster: its cluster's name, where that is known.
        hints: words that may be its cluster's name.
        asked_in: the channel of the command.
    """

    job_id: str
    among: tuple[Project, ...]
    asked_in: str
    cluster: str | None = None
    hints: tuple[str, ...] = ()


class Searches:
    """The dialog for a job that must be found first."""

    def __init__(self, deps: Dependencies) -> None:
        self._service = deps.service
        self._background = deps.background
        self._directory = deps.directory
        self._dialogs = deps.dialogs

    async def open(
        self, wanted: SearchQuery, actor: Actor, trigger_id: str, reply_to: ReplyTarget
    ) -> None:
        """Say at once what is searched, then show the job, or where it is not."""
        names = [project.name for project in wanted.among]
        view = search_views.searching(wanted.job_id, names, wanted.cluster)
        if view_id := await self._dialogs.opened(view, trigger_id, reply_to):
            found = await self._find(wanted, actor, view_id, reply_to)
            await self._dialogs.show(view_id, found, reply_to)

    async def _find(
        self, wanted: SearchQuery, actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> View:
        try:
            among = await allowed_projects(self._directory, actor, wanted.asked_in, wanted.among)
        except (CancellationError, DirectoryTrouble) as error:
            return dialog_views.refused(sentence_for(error))
        result, searched = await self._search(wanted, among, view_id, reply_to)
        if result.found is None:
            return search_views.nowhere(wanted.job_id, searched, result, wanted.cluster)
        return await self._dialogs.find(_asked(wanted, result.found), actor)

    async def _search(
        self, wanted: SearchQuery, among: Sequence[Project], view_id: str, reply_to: ReplyTarget
    ) -> tuple[Search, Sequence[ClusterRef]]:
        """Search while the dialog is told how much there is to search."""
        telling: list[asyncio.Task[None]] = []
        searched: list[ClusterRef] = []

        async def told(places: Sequence[ClusterRef]) -> None:
            searched.extend(places)
            view = search_views.counted(wanted.job_id, places)
            showing = self._dialogs.show(view_id, view, reply_to)
            telling.append(self._background.start(showing, "search"))

        result = await self._service.finder.search(
            wanted.job_id, among, cluster=wanted.cluster, hints=wanted.hints, told=told
        )
        # What is shown next must not be overtaken.
        await asyncio.gather(*telling, return_exceptions=True)
        return result, searched


def _asked(wanted: SearchQuery, place: ClusterRef) -> JobTarget:
    ref = JobRef(project_id=place.project.id, cluster_name=place.cluster, job_id=wanted.job_id)
    return JobTarget(ref=ref, project_name=place.project.name, asked_in=wanted.asked_in)
