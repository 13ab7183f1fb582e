"""Draws somebody's Home tab: at once what the ledger knows, then what Atlas says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError
from bot.slack.access import allowed_projects
from bot.slack.error_messages import sentence_for
from bot.slack.errors import CALL_ERRORS, DirectoryTrouble, meaning_of
from bot.slack.home import views as home_views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bot.cancellation.lifecycle import Request
    from bot.cancellation.projects import Project
    from bot.slack.blockkit import Block, View
    from bot.slack.bolt_app import Dependencies
    from bot.slack.payloads import Actor

log = structlog.get_logger(__name__)

#: Seconds that what is shown may be old where there are many clusters: a tab is opened often.
FRESHEST = 60.0


class Home:
    """The Home tab."""

    def __init__(
        self,
        deps: Dependencies,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = deps.client
        self._service = deps.service
        self._directory = deps.directory
        self._links = deps.links
        self._now = now

    async def publish(self, actor: Actor, *, drawn: bool) -> None:
        """Draw the tab; `drawn` says that there is one to look at meanwhile."""
        # There is no channel here: what holds for a direct message holds for the tab.
        try:
            projects = await allowed_projects(
                self._directory, actor, actor.id, self._service.projects.all
            )
            refusal = None
        except (CancellationError, DirectoryTrouble) as error:
            projects, refusal = [], home_views.saying(f":no_entry: {sentence_for(error)}")
        waiting, past = await asyncio.gather(self._waiting(actor), self._past(projects, refusal))
        if refusal is None and not drawn:
            await self._show(actor, home_views.view(home_views.LOOKING, waiting, past))
        jobs = refusal or await self._jobs(projects)
        await self._show(actor, home_views.view(jobs, waiting, past))

    async def _jobs(self, projects: Sequence[Project]) -> list[Block]:
        listing = await self._service.finder.listing(projects, freshest=FRESHEST)
        return home_views.jobs(listing, self._now())

    async def _past(self, projects: Sequence[Project], refusal: list[Block] | None) -> list[Block]:
        if refusal:
            return refusal
        names = {project.id: project.name for project in projects}
        try:
            last = await self._service.history.recent(home_views.LAST, names)
        except CancellationError as error:
            return home_views.saying(f":warning: {sentence_for(error)}")
        return home_views.past(last, names, self._links)

    async def _waiting(self, actor: Actor) -> list[Block]:
        try:
            waiting = await self._service.history.awaiting()
            mine = [request for request in waiting if await self._may_decide(actor, request)]
        except (CancellationError, DirectoryTrouble) as error:
            return home_views.saying(f":warning: {sentence_for(error)}")
        return home_views.waiting(mine, self._links)

    async def _may_decide(self, actor: Actor, request: Request) -> bool:
        policy = self._service.policy_of(request.ref.project_id)
        if policy is None or actor.id in request.approved_by:
            return False
        person = await self._directory.person(actor, policy.approvers)
        return rules.may_decide(policy, request.requester, person) is None

    async def _show(self, actor: Actor, view: View) -> None:
        try:
            await self._client.views_publish(user_id=actor.id, view=view)
        except CALL_ERRORS as error:
            # The next opening of the tab draws it anew.
            log.warning("home tab not drawn", error=meaning_of(error).sentence)
