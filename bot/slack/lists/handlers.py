"""Sends the private lists: cancellable jobs, page by page, and the last requests."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import AtlasError
from bot.cancellation.errors import CancellationError
from bot.services.projects import Project
from bot.slack import ids
from bot.slack.dependencies import Dependencies
from bot.slack.directory import allowed_projects
from bot.slack.error_messages import UNKNOWN_BUTTON, sentence_for
from bot.slack.errors import DirectoryError
from bot.slack.lists import views as list_views
from bot.slack.payloads import Actor, actor_of
from bot.slack.private_reply import ReplyTarget, reply_target_of

#: Seconds for reading the names of clusters for a suggestion.
SUGGESTION_TIMEOUT = 2.0


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def more(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _show_page(deps, body)

    app.action(ids.MORE)(more)


def _show_page(deps: Dependencies, body: Mapping[str, Any]) -> None:
    """Show the next page: the button's value is its start, and the cluster if any."""
    reply_to, actor = reply_target_of(body), actor_of(body, deps.identity)
    start, _, cluster = str(body["actions"][0].get("value") or "").partition(" ")
    if re.fullmatch(r"\d{1,6}", start, re.ASCII):
        work = Lists(deps).show_jobs(cluster or None, actor, reply_to, int(start))
    else:
        work = deps.replies.send_text(reply_to, UNKNOWN_BUTTON)
    deps.background.start(work, "list", deps.replies.error_callback(reply_to))


class Lists:
    """The private lists."""

    def __init__(self, deps: Dependencies) -> None:
        self._service = deps.service
        self._replies = deps.replies
        self._links = deps.links
        self._directory = deps.directory

    async def show_jobs(
        self, cluster: str | None, actor: Actor, reply_to: ReplyTarget, start: int = 0
    ) -> None:
        """Show the jobs that can be cancelled, beginning with number `start`."""
        try:
            projects = await self._allowed(actor, reply_to)
        except (CancellationError, DirectoryError) as error:
            await self._replies.send_text(reply_to, sentence_for(error))
            return
        listing = await self._service.finder.listing(projects, cluster=cluster)
        if cluster and not listing.jobs and not listing.unavailable:
            names = await self._cluster_names(projects)
            if cluster not in names:
                similar = difflib.get_close_matches(cluster, names)
                text = list_views.no_such_cluster(cluster, similar)
                await self._replies.send_text(reply_to, text)
                return
        await self._replies.send(reply_to, list_views.job_list(listing, cluster, start))

    async def show_history(self, count: int, actor: Actor, reply_to: ReplyTarget) -> None:
        """Show the last requests."""
        try:
            projects = await self._allowed(actor, reply_to)
            names = {project.id: project.name for project in projects}
            past = await self._service.history.recent(count, names)
        except (CancellationError, DirectoryError) as error:
            await self._replies.send_text(reply_to, sentence_for(error))
        else:
            await self._replies.send(reply_to, list_views.history(past, names, self._links))

    async def _allowed(self, actor: Actor, reply_to: ReplyTarget) -> list[Project]:
        channel = reply_to.channel or reply_to.user
        return await allowed_projects(self._directory, actor, channel, self._service.projects.all)

    async def _cluster_names(self, projects: Sequence[Project]) -> list[str]:
        names: list[str] = []
        for project in projects:
            try:
                names += await self._service.finder.clusters(project.id, timeout=SUGGESTION_TIMEOUT)
            except AtlasError:
                continue  # the names only serve a suggestion
        return names
