"""Publishes the Home tab when it is opened, refreshed, or changed by a decision."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import JobRef
from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import Request
from bot.services.projects import Project
from bot.services.search_results import Listing
from bot.slack import blockkit, ids, job_facts, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.card import views as card_views
from bot.slack.client import Links
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import command_code, labelled
from bot.slack.errors import CALL_ERRORS, DirectoryError, sentence_for, translate_error
from bot.slack.history import Viewer, history_sections, viewer_of
from bot.slack.lists import NO_FACTS, facts_of, job_entry, unavailable_blocks
from bot.slack.payloads import Actor, actor_of
from bot.storage.audit_log import PastRequest

log = structlog.get_logger(__name__)

HOME = "home"

#: Seconds for which a listing of many clusters is cached.
MAX_LISTING_AGE = 60.0

#: Entries of each part; a Home tab has at most 100 blocks.
MAX_JOBS = 20
MAX_WAITING = 10
MAX_PAST = 5


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
        self, deps: Dependencies, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._deps = deps
        self._now = now

    async def publish(self, actor: Actor, *, published: bool) -> None:
        """Publish the tab: first without the jobs, unless it was `published` before."""
        # The tab has no channel: the rules of a direct message apply.
        try:
            projects = await self._deps.directory.allowed_projects(
                actor, actor.id, self._deps.service.projects.all
            )
            refusal = None
        except (CancellationError, DirectoryError) as error:
            projects, refusal = [], message_blocks(f":no_entry: {sentence_for(error)}")
        viewer = await viewer_of(
            self._deps.directory, actor, actor.id, self._deps.service.projects.all
        )
        waiting, unreviewed, past = await asyncio.gather(
            self._waiting(actor, viewer),
            self._unreviewed(actor, viewer),
            self._past(projects, viewer, refusal),
        )
        waiting += unreviewed
        if refusal is None and not published:
            await self._publish(actor, home_view(LOADING, waiting, past))
        jobs = refusal or await self._jobs(projects)
        await self._publish(actor, home_view(jobs, waiting, past))

    async def _jobs(self, projects: Sequence[Project]) -> list[Block]:
        listing = await self._deps.service.finder.listing(projects, max_age=MAX_LISTING_AGE)
        facts = await facts_of(self._deps, listing.jobs[:MAX_JOBS])
        return job_blocks(listing, self._now(), facts)

    async def _past(
        self, projects: Sequence[Project], viewer: Viewer, refusal: list[Block] | None
    ) -> list[Block]:
        if refusal:
            return refusal
        names = {project.id: project.name for project in projects}
        try:
            past = await self._deps.service.history.recent(MAX_PAST, names)
        except CancellationError as error:
            return message_blocks(f":warning: {sentence_for(error)}")
        return past_blocks(map(viewer.readable, past), names, self._deps.links)

    async def _waiting(self, actor: Actor, viewer: Viewer) -> list[Block]:
        try:
            waiting = await self._deps.service.history.awaiting()
            own = [request for request in waiting if await self._may_decide(actor, request)]
            facts = await self._deps.service.facts.known([request.ref for request in own])
        except (CancellationError, DirectoryError) as error:
            return message_blocks(f":warning: {sentence_for(error)}")
        return waiting_blocks(own, viewer, self._deps.links, facts)

    async def _unreviewed(self, actor: Actor, viewer: Viewer) -> list[Block]:
        try:
            unreviewed = await self._deps.service.history.unreviewed()
            own = [request for request in unreviewed if await self._may_review(actor, request)]
        except (CancellationError, DirectoryError) as error:
            return message_blocks(f":warning: {sentence_for(error)}")
        return unreviewed_blocks(own, viewer, self._deps.links)

    async def _may_review(self, actor: Actor, request: Request) -> bool:
        if (policy := self._deps.service.policy_of(request.ref.project_id)) is None:
            return False
        person = await self._deps.directory.person(actor, policy.approvers)
        return rules.may_review(policy, request, person) is None

    async def _may_decide(self, actor: Actor, request: Request) -> bool:
        policy = self._deps.service.policy_of(request.ref.project_id)
        if policy is None or actor.id in request.approved_by:
            return False
        person = await self._deps.directory.person(actor, policy.approvers)
        return rules.may_decide(policy, request.requester, person) is None

    async def _publish(self, actor: Actor, view: View) -> None:
        try:
            await self._deps.client.views_publish(user_id=actor.id, view=view)
        except CALL_ERRORS as error:
            # The tab is published again when it is opened.
            meaning = translate_error(error)  # its sentence is about channels
            log.warning("home tab not published", error=meaning.code or meaning.sentence)


def home_view(jobs: Sequence[Block], waiting: Sequence[Block], past: Sequence[Block]) -> View:
    """Build the tab from its three parts."""
    label = labelled("")
    blocks = [
        *([blockkit.context(f"*{label.strip()}*")] if label else []),
        _header("What can be cancelled now"),
        *jobs,
        blockkit.actions(blockkit.button("Refresh", ids.REFRESH, "home")),
        _header("Waits for your approval"),
        *waiting,
        _header("The last requests"),
        *past,
    ]
    return {"type": "home", "blocks": blocks}


def message_blocks(text: str) -> list[Block]:
    """Show a message instead of a part; `text` is trusted mrkdwn."""
    return [blockkit.section(blockkit.cut(text, blockkit.TEXT))]


LOADING = message_blocks(":hourglass_flowing_sand: Looking …")


def job_blocks(
    listing: Listing, now: datetime, facts: Mapping[JobRef, JobFacts] = NO_FACTS
) -> list[Block]:
    """Show the newest jobs that can be cancelled."""
    shown = [job_entry(found, facts.get(found.ref)) for found in listing.jobs[:MAX_JOBS]]
    more = len(listing.jobs) - len(shown)
    if not shown:
        shown = message_blocks(
            "Nothing, as far as can be seen." if listing.unavailable else "Nothing."
        )
    if more > 0:
        shown.append(blockkit.context(f"And {more} more: {command_code('list')} shows all."))
    return [
        *shown,
        *unavailable_blocks(listing.unavailable),
        blockkit.context(f"As of {mrkdwn.date(now)}"),
    ]


def waiting_blocks(
    requests: Sequence[Request],
    viewer: Viewer,
    links: Links,
    facts: Mapping[JobRef, JobFacts] = NO_FACTS,
) -> list[Block]:
    """Show the requests that the viewer may approve, oldest first."""
    if not requests:
        return message_blocks("Nothing.")
    shown = [
        part
        for each in requests[:MAX_WAITING]
        for part in _request(each, viewer, links, facts.get(each.ref))
    ]
    more = len(requests) - MAX_WAITING
    return [*shown, blockkit.context(f"And {more} more.")] if more > 0 else shown


def unreviewed_blocks(requests: Sequence[Request], viewer: Viewer, links: Links) -> list[Block]:
    """Show what the viewer must review, oldest first; nothing without such a request."""
    if not requests:
        return []
    shown = [_header("Done without approval: to be reviewed")]
    for each in requests[:MAX_WAITING]:
        asked = f"asked to cancel {mrkdwn.summary(each)}, {mrkdwn.date(each.created_at)}"
        text = _with_reason(f"{mrkdwn.person(each.requester)} {asked}", each, viewer, links)
        shown += [text, blockkit.actions(card_views.review_button(each))]
    more = len(requests) - MAX_WAITING
    return [*shown, blockkit.context(f"And {more} more.")] if more > 0 else shown


def past_blocks(
    requests: Iterable[PastRequest], projects: Mapping[str, str], links: Links
) -> list[Block]:
    """Show the last requests."""
    return history_sections(requests, projects, links) or message_blocks(
        "There are no requests yet."
    )


def _request(request: Request, viewer: Viewer, links: Links, facts: JobFacts | None) -> list[Block]:
    text = (
        f"{mrkdwn.person(request.requester)} asks to cancel {mrkdwn.summary(request)}, "
        f"until {mrkdwn.date(request.expires_at)}"
    )
    text = "\n".join([*job_facts.card_lines(request, facts), text])
    return [
        _with_reason(text, request, viewer, links),
        blockkit.actions(*card_views.approver_buttons(request)),
    ]


def _with_reason(text: str, request: Request, viewer: Viewer, links: Links) -> Block:
    """Add the reason and a link to the card, for viewers who may read them."""
    if viewer.may_read_waiting(request):
        reason = f"\n{mrkdwn.quote(request.reason, 500)}" if request.reason.strip() else ""
        text += f": see {mrkdwn.link(links.card_of(request), 'its card')}.{reason}"
    return blockkit.section(blockkit.cut(text, blockkit.TEXT))


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": blockkit.plain(text)}
