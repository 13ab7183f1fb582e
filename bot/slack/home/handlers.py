"""Publishes the Home tab when it is opened, refreshed, or changed by a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import Request
from bot.services.projects import Project
from bot.slack import ids
from bot.slack.blockkit import Block, View
from bot.slack.dependencies import Dependencies
from bot.slack.directory import allowed_projects
from bot.slack.error_messages import sentence_for
from bot.slack.errors import CALL_ERRORS, DirectoryError, translate_error
from bot.slack.home import views as home_views
from bot.slack.payloads import Actor, actor_of

log = structlog.get_logger(__name__)

HOME = "home"

#: Seconds for which a listing of many clusters is cached.
MAX_LISTING_AGE = 60.0


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def opened(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        event = body["event"]
        user = event.get("user")
        if event.get("tab", HOME) == HOME and isinstance(user, str) and user:
            actor = actor_of(with_event_user(body), deps.identity)
            published = bool(event.get("view"))
            deps.background.start(HomeTab(deps).publish(actor, published=published), "home")

    async def refresh(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        republish(deps, body)

    app.event("app_home_opened")(opened)
    app.action(ids.REFRESH)(refresh)


def republish(deps: Dependencies, body: Mapping[str, Any]) -> None:
    """Publish the tab again in the background, after a click in it."""
    actor = actor_of(body, deps.identity)
    deps.background.start(HomeTab(deps).publish(actor, published=True), "home")


def with_event_user(body: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an event's user to the form of other payloads (pure)."""
    team = body.get("team_id")
    view = body["event"].get("view") or {}
    user = {"id": body["event"]["user"], "team_id": view.get("team_id") or team}
    return {"user": user, "team": {"id": team}}


class HomeTab:
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

    async def publish(self, actor: Actor, *, published: bool) -> None:
        """Publish the tab: first without the jobs, unless it was `published` before."""
        # The tab has no channel: the rules of a direct message apply.
        try:
            projects = await allowed_projects(
                self._directory, actor, actor.id, self._service.projects.all
            )
            refusal = None
        except (CancellationError, DirectoryError) as error:
            projects, refusal = [], home_views.message(f":no_entry: {sentence_for(error)}")
        waiting, past = await asyncio.gather(self._waiting(actor), self._past(projects, refusal))
        if refusal is None and not published:
            await self._publish(actor, home_views.view(home_views.LOADING, waiting, past))
        jobs = refusal or await self._jobs(projects)
        await self._publish(actor, home_views.view(jobs, waiting, past))

    async def _jobs(self, projects: Sequence[Project]) -> list[Block]:
        listing = await self._service.finder.listing(projects, max_age=MAX_LISTING_AGE)
        return home_views.jobs(listing, self._now())

    async def _past(self, projects: Sequence[Project], refusal: list[Block] | None) -> list[Block]:
        if refusal:
            return refusal
        names = {project.id: project.name for project in projects}
        try:
            past = await self._service.history.recent(home_views.MAX_PAST, names)
        except CancellationError as error:
            return home_views.message(f":warning: {sentence_for(error)}")
        return home_views.past(past, names, self._links)

    async def _waiting(self, actor: Actor) -> list[Block]:
        try:
            waiting = await self._service.history.awaiting()
            own = [request for request in waiting if await self._may_decide(actor, request)]
        except (CancellationError, DirectoryError) as error:
            return home_views.message(f":warning: {sentence_for(error)}")
        return home_views.waiting(own, self._links)

    async def _may_decide(self, actor: Actor, request: Request) -> bool:
        policy = self._service.policy_of(request.ref.project_id)
        if policy is None or actor.id in request.approved_by:
            return False
        person = await self._directory.person(actor, policy.approvers)
        return rules.may_decide(policy, request.requester, person) is None

    async def _publish(self, actor: Actor, view: View) -> None:
        try:
            await self._client.views_publish(user_id=actor.id, view=view)
        except CALL_ERRORS as error:
            # The tab is published again when it is opened.
            log.warning("home tab not published", error=translate_error(error).sentence)
