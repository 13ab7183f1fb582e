"""Publishes the Home tab when it is opened, refreshed, or changed by a decision."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import structlog

from bot.atlas import JobRef
from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError, ChannelNotAllowed, RightsNotChecked
from bot.cancellation.job import TO_COME, Job
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.policy import Policy
from bot.services.job_search import Search
from bot.services.projects import Project
from bot.slack import blockkit, ids, job_lines, lists, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.card import views as card_views
from bot.slack.client import Links
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import command_code, labelled
from bot.slack.errors import TRANSIENT, SlackError, sentence_for
from bot.slack.lists import Viewer
from bot.slack.payloads import Actor, actor_of

log = structlog.get_logger(__name__)

MAX_LISTING_AGE = 60.0  #: seconds for which a listing of many clusters is cached
MAX_JOBS = 20  #: entries of this part; a Home tab has at most 100 blocks
MAX_URGENT = 5  #: entries of the part about quarantine
MAX_WAITING = 10  #: entries of this part
MAX_PAST = 5  #: entries of this part


def on_opened(deps: Dependencies, body: dict[str, Any]) -> None:
    event = body["event"]
    user, view = event.get("user"), event.get("view") or {}
    if event.get("tab", "home") == "home" and isinstance(user, str) and user:
        team = view.get("team_id") or body.get("team_id")
        actor = actor_of({"user_id": user, "team_id": team}, deps.identity)
        deps.background.start(HomeTab(deps, actor).publish(published=bool(view)), "home")


def republish(deps: Dependencies, body: Mapping[str, Any]) -> None:
    tab = HomeTab(deps, actor_of(body, deps.identity))
    deps.background.start(tab.publish(published=True), "home")


@dataclass(frozen=True, slots=True)
class HomeTab:
    _deps: Dependencies
    _actor: Actor
    _above: set[JobRef] = field(default_factory=set)  #: shown with the requests, not in the list
    #: Warnings of requests that are left out, such as of a project whose group was deleted.
    _unchecked: dict[str, Block] = field(default_factory=dict)

    async def publish(self, *, published: bool) -> None:
        """Publish the tab: first without the jobs, unless it was `published` before."""
        # The tab has no channel: the rules of a direct message apply.
        channel = self._actor.id
        projects: Sequence[Project] = ()
        jobs: list[Block] | None = None
        try:
            projects = await self._deps.allowed_projects(self._actor, channel)
        except CancellationError as error:
            jobs = [_failed(f":no_entry: {_why_no_jobs(error)}", error)]
        try:
            urgent, waiting, past = await self._requests(projects)
        except CancellationError as error:
            warning = _failed(f":warning: {sentence_for(error)}", error)
            urgent, waiting, past = [], [warning], []
        title = title_of(projects)
        if jobs is None:
            if not published:
                await self._publish(home_view(LOADING, waiting, past, urgent, title))
            held, jobs = await self._jobs(projects)
            urgent += held
        await self._publish(home_view(jobs, waiting, past, urgent, title))

    async def _requests(
        self, projects: Sequence[Project]
    ) -> tuple[list[Block], list[Block], list[Block]]:
        """Show what this person may decide about, in quarantine or not, and the last requests."""
        deps, history = self._deps, self._deps.history
        service = deps.service
        candidates = service.projects.all
        viewer = await lists.viewer_of(deps.directory, self._actor, self._actor.id, candidates)
        quarantined = await self._own(await history.in_states(State.QUARANTINED))
        awaiting = await history.in_states(State.AWAITING)
        awaiting = await self._own([r for r in awaiting if self._actor.id not in r.approved_by])
        unreviewed = await self._own(await history.unreviewed(), review=True)
        above = [*quarantined[:MAX_URGENT], *awaiting[:MAX_WAITING]]
        self._above.update(each.ref for each in above)
        known = await service.jobs.store.get([each.ref for each in above])
        parts = RequestParts(viewer, deps.links, service.projects.policy, known)
        names = {project.id: project.name for project in projects}
        past = await history.recent(MAX_PAST, names, lists.offered_by(projects))
        last = lists.history_sections(map(viewer.readable, past), names, deps.links)
        return (
            parts.quarantine(quarantined),
            [*parts.waiting(awaiting), *self._unchecked.values(), *parts.unreviewed(unreviewed)],
            last if projects else [],  # else the refusal is shown
        )

    async def _jobs(self, projects: Sequence[Project]) -> tuple[list[Block], list[Block]]:
        """Show the downloads in quarantine that other people decide about, and the others."""
        listing = await self._deps.finder.listing(projects, max_age=MAX_LISTING_AGE)
        try:
            own = await self._deps.history.in_states(State.QUARANTINED)
            running = await self._deps.history.in_states(State.APPROVED, State.CANCELLING)
        except CancellationError:
            own = running = ()  # the part about quarantine says so
        follows = self._follows(own)
        held = [each for each in listing.jobs if each.ref in follows.keys() - self._above]
        held = held[:MAX_URGENT]
        self._above.update(each.ref for each in held)
        shown = [*held, *listing.jobs[: MAX_JOBS + len(self._above)]]
        read = [(each.ref, each.job) for each in shown]
        known = await lists.known_jobs(self._deps, read, listing.unread_projects)
        over = {ref for ref, job in known.items() if job.state.is_over}  # since the listing
        urgent = [
            lists.job_entry(found, known[found.ref], follows[found.ref])
            for found in held
            if found.ref not in over
        ]
        urgent = [_header("In quarantine"), *urgent] if urgent else []
        follows |= {each.ref: BEING_CANCELLED for each in running}
        return urgent, job_blocks(listing, datetime.now(UTC), known, follows, self._above | over)

    def _follows(self, quarantined: Sequence[Request]) -> dict[JobRef, str]:
        """Say what becomes of downloads in quarantine, also to those who may not keep them."""
        policy = self._deps.service.projects.policy_or_none
        known = ((each, policy(each.ref)) for each in quarantined)
        return {
            each.ref: card_views.what_follows(each, card_views.shown_mode(found))
            for each, found in known
            if found
        }

    async def _own(self, found: Sequence[Request], *, review: bool = False) -> list[Request]:
        """Return the requests about which this person may decide, or which they may review."""
        own = []
        for each in found:
            try:
                own += [each] if await self._may(each, review=review) else []
            except RightsNotChecked as error:
                if error.is_temporary:
                    raise
                self._unchecked[error.why] = _failed(f":warning: {sentence_for(error)}", error)
        return own

    async def _may(self, request: Request, *, review: bool) -> bool:
        policy = self._deps.service.projects.policy_or_none(request.ref)
        if policy is None:
            return False
        person = await self._deps.directory.person(self._actor, policy.approvers)
        if review:
            return rules.may_review(policy, request, person) is None
        return rules.may_decide(policy, request.requester, person) is None

    async def _publish(self, view: View) -> None:
        try:
            await self._deps.client.views_publish(user_id=self._actor.id, view=view)
        except SlackError as error:
            # The tab is published again when it is opened; the sentence may be about channels.
            log.warning("home tab not published", error=error.code or error.sentence)


def _why_no_jobs(error: CancellationError) -> str:
    """Say why a person sees no downloads here, in a tab, which is no channel."""
    if not isinstance(error, ChannelNotAllowed):
        return sentence_for(error)
    channels = mrkdwn.join(map(mrkdwn.channel, sorted(error.channels)))
    return f"Downloads can be cancelled in {channels}: type {command_code('list')} there."


def _failed(text: str, error: CancellationError) -> Block:
    """Say why a part cannot be shown; after a transient error with a button to try again."""
    again = {"accessory": TRY_AGAIN} if isinstance(error, TRANSIENT) else {}
    return blockkit.section(text) | again


#: The title of the list of downloads.
CAN_BE_CANCELLED = "Downloads that can be cancelled now"
RUNNING = "Running downloads"
ONLY_WATCHED = "Running downloads: cancel them in Atlas"


def title_of(projects: Sequence[Project]) -> str:
    """Title the list of downloads of these projects; in some of them the bot may only watch."""
    are_read_only = [bool(each.why_read_only()) for each in projects]
    return (
        (ONLY_WATCHED if all(are_read_only) else RUNNING)
        if any(are_read_only)
        else CAN_BE_CANCELLED
    )


def home_view(
    jobs: Sequence[Block],
    waiting: Sequence[Block],
    past: Sequence[Block],
    urgent: Sequence[Block] = (),
    title: str = CAN_BE_CANCELLED,
) -> View:
    label = labelled("")
    blocks = [
        *([blockkit.context(f"*{label.strip()}*")] if label else []),
        *urgent,
        _header("Cancelling waits for your approval"),
        *waiting,
        _header(title),
        *jobs,
        blockkit.actions(blockkit.button("Refresh", ids.REFRESH, "home")),
        *([_header("The last requests"), *past] if past else []),
    ]
    return {"type": "home", "blocks": blocks}


TRY_AGAIN = blockkit.button("Try again", ids.REFRESH, "home")
BEING_CANCELLED = ":hourglass_flowing_sand: *Is being cancelled*: refresh to see how it ended"
LOADING = [blockkit.section(":hourglass_flowing_sand: Looking …")]


def job_blocks(
    listing: Search,
    now: datetime,
    known: Mapping[JobRef, Job],
    follows: Mapping[JobRef, str] = MappingProxyType({}),
    above: Collection[JobRef] = (),
) -> list[Block]:
    """Show the downloads, save those `above`; `follows` is what becomes of them without a click."""
    jobs = [found for found in listing.jobs if found.ref not in above]
    shown = [
        lists.job_entry(found, known[found.ref], follows.get(found.ref, ""))
        for found in jobs[:MAX_JOBS]
        if found.ref in known  # those after ones that are over since the listing are not
    ]
    more = len(jobs) - len(shown)
    if not shown:
        none = "No others" if listing.jobs else "None"
        seen = " among those that could be read" if listing.unavailable else ""
        shown = [blockkit.section(f"{none}{seen}.")]
    if more > 0:
        shown.append(blockkit.context(f"And {more} more: {command_code('list')} shows all."))
    unread = lists.unavailable_blocks(listing.unavailable)
    shown += [each | {"accessory": TRY_AGAIN} for each in unread]
    return [*shown, blockkit.context(f"As of {mrkdwn.date(now)}")]


@dataclass(frozen=True, slots=True)
class RequestParts:
    """Builds the parts of the tab about requests, each with the oldest first."""

    viewer: Viewer
    links: Links
    policy: Callable[[JobRef], Policy]
    known: Mapping[JobRef, Job]

    def waiting(self, requests: Sequence[Request]) -> list[Block]:
        """Show the requests that the viewer may approve."""
        shown: list[Block] = []
        for each in requests[:MAX_WAITING]:
            is_to_come = self.known[each.ref].phase in TO_COME
            hurry = "Decide before the link is live; the" if is_to_come else "The"
            ends = f"{hurry} request ends {mrkdwn.date(each.expires_at)}"
            asked = f"*Cancellation asked by* {mrkdwn.person(each.requester)}. {ends}"
            text = self._about(each, "Cancel this download?", asked)
            shown += self._entry(text, each, card_views.approver_buttons(each))
        return [*shown, *_more(requests)] or [blockkit.section("Nothing.")]

    def quarantine(self, requests: Sequence[Request]) -> list[Block]:
        """Show the downloads that the viewer may keep; nothing without any."""
        shown = [_header("In quarantine: keep or cancel")] if requests else []
        for each in requests[:MAX_URGENT]:
            mode = card_views.shown_mode(self.policy(each.ref))
            follows = card_views.what_follows(each, mode)
            text = self._about(each, "Keep or cancel this download?", follows)
            shown += self._entry(text, each, card_views.quarantine_buttons(each, mode))
        return [*shown, *_more(requests, MAX_URGENT)]

    def unreviewed(self, requests: Sequence[Request]) -> list[Block]:
        """Show what the viewer must review; nothing without such a request."""
        shown = [_header("Review what was done without approval")] if requests else []
        for each in requests[:MAX_WAITING]:
            asked = f"asked to cancel {mrkdwn.summary(each)}, {mrkdwn.date(each.created_at)}"
            text = f"{mrkdwn.person(each.requester)} {asked}"
            shown += self._entry(text, each, [card_views.review_button(each)])
        return [*shown, *_more(requests)]

    def _about(self, request: Request, asks: str, until: str) -> str:
        ref, job = request.ref, self.known[request.ref]
        where = f"{mrkdwn.code(ref.cluster_name)} in {mrkdwn.one_line(request.project_name)}"
        lines = [*job_lines.answer_lines(job), *job_lines.card_lines(request, job)]
        lines += mrkdwn.note(self.policy(ref).note)
        return "\n".join([f"*{asks}* {where}", *lines, f"{until}. Job {mrkdwn.code(ref.job_id)}"])

    def _entry(self, text: str, request: Request, buttons: list[Block]) -> list[Block]:
        """Show a request, with its reason and a link to its card if the viewer may read them."""
        people = {request.requester, *request.approved_by}
        if self.viewer.may_read(request.ref, request.ask.asked_in, people):
            given = request.ask.reason.strip()
            reason = f"\n{mrkdwn.quote(request.ask.reason, 500)}" if given else ""
            text += f": see {mrkdwn.link(self.links.card_of(request), 'its card')}.{reason}"
        return [blockkit.section(text), blockkit.actions(*buttons)]


def _more(requests: Sequence[Request], shown: int = MAX_WAITING) -> list[Block]:
    more = len(requests) - shown
    return [blockkit.context(f"And {more} more.")] if more > 0 else []


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": blockkit.plain(text)}
