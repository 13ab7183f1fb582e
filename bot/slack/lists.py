"""Sends the private lists: cancellable jobs, page by page, and the last requests."""

import asyncio
import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from bot.atlas import AtlasError, JobRef, RestoreJob
from bot.cancellation.errors import CancellationError, RightsNotChecked
from bot.cancellation.job import Job
from bot.cancellation.people import Person
from bot.cancellation.policy import Policy, is_named_approver
from bot.services.job_search import CancellableJob, Search, UnreadCluster
from bot.services.projects import Project
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.client import Links
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.deployment import command_code
from bot.slack.directory import Directory
from bot.slack.grammar import MAX_HISTORY, job_value
from bot.slack.payloads import Actor
from bot.storage.history import PastRequest

SUGGESTION_TIMEOUT = 1.5  #: seconds for reading the names of clusters beside something else
PAGE_SIZE = 20  #: jobs on one page; a message has at most 50 blocks
#: Unread clusters that one line names, and lines.
MAX_CLUSTERS = 30
MAX_REASONS = 8
NO_REQUESTS = "There are no requests yet."


def on_more(deps: Dependencies, body: dict[str, Any]) -> None:
    # The button's value is the start of the next page, and the cluster if any.
    start, _, cluster = str(body["actions"][0]["value"]).partition(" ")
    by = deps.interaction(body)
    deps.start(show_jobs(deps, by, cluster or None, int(start)), "list", by)


async def show_jobs(
    deps: Dependencies, by: Interaction, cluster: str | None, start: int = 0
) -> None:
    """Send the jobs that can be cancelled, beginning with number `start`."""
    try:
        projects = await deps.allowed_projects(by.actor, by.channel)
    except CancellationError as error:
        await deps.refuse(by, error)
        return
    listing = await deps.finder.listing(projects, cluster=cluster)
    if cluster and not listing.jobs and not listing.unavailable:
        names = [name for each in projects for name in await cluster_names(deps, each)]
        if cluster not in names:
            similar = difflib.get_close_matches(cluster, names)
            await deps.replies.send_text(by, no_such_cluster(cluster, similar))
            return
    page = [(found.ref, found.job) for found in listing.jobs[start : start + PAGE_SIZE]]
    known = await known_jobs(deps, page, listing.unread_projects)
    is_read_only = all(each.why_read_only(cluster) for each in projects)
    shown = job_list(listing, cluster, start, known, is_read_only=is_read_only)
    await deps.replies.send(by, shown)


async def show_history(deps: Dependencies, by: Interaction, count: int) -> None:
    try:
        projects = await deps.allowed_projects(by.actor, by.channel)
        names = {project.id: project.name for project in projects}
        past = await deps.history.recent(count, names, offered_by(projects))
        viewer = await viewer_of(deps.directory, by.actor, by.channel, projects)
    except CancellationError as error:
        await deps.refuse(by, error)
    else:
        readable = [viewer.readable(each) for each in past]
        await deps.replies.send(by, request_list(readable, names, deps.links))


def offered_by(projects: Iterable[Project]) -> Callable[[JobRef], bool]:
    """Return whether a job is in a cluster that one of these projects offers."""
    by_id = {project.id: project for project in projects}
    # A damaged row has no job, of no project.
    return lambda ref: ref.project_id in by_id and by_id[ref.project_id].offers(ref.cluster_name)


async def cluster_names(deps: Dependencies, project: Project) -> Sequence[str]:
    """Return the names of a project's clusters, for a suggestion; none without an answer."""
    try:
        return await deps.finder.clusters(project, timeout=SUGGESTION_TIMEOUT)
    except (AtlasError, CancellationError):
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """The person to whom requests are shown, and where."""

    ids: frozenset[str]
    channel: str  #: of the list; the user's id for the Home tab
    #: Whether the policy for a job names the person as an approver.
    approves: Callable[[JobRef], bool] = lambda _ref: False

    def may_read(self, ref: JobRef, asked_in: str, people: Collection[str]) -> bool:
        """Whether a request's reason and thread are shown; `people` asked or decided."""
        concerned = self.approves(ref) or not self.ids.isdisjoint(people)
        return concerned or asked_in == self.channel

    def readable(self, past: PastRequest) -> PastRequest:
        """Return the request without reason and thread, unless they are shown."""
        request = past.request
        if self.may_read(request.ref, request.ask.asked_in, request.people):
            return past
        ask = request.ask.with_typed(lambda _text: "")
        return replace(past, request=replace(request, ask=ask, card=None))


async def viewer_of(
    directory: Directory, actor: Actor, channel: str, projects: Iterable[Project]
) -> Viewer:
    """Find out where the actor is a named approver; without an answer from Slack nowhere."""

    async def look_up(policy: Policy) -> Person | None:
        try:
            return await directory.person(actor, policy.approvers)
        except RightsNotChecked:
            return None

    policies = {project.id: project.policies for project in projects}
    every = chain.from_iterable(each.all for each in policies.values())
    named = [policy for policy in dict.fromkeys(every) if policy.approvers_named]
    found = await asyncio.gather(*map(look_up, named))
    people = [(policy, person) for policy, person in zip(named, found, strict=True) if person]
    own = {policy for policy, person in people if is_named_approver(policy, person)}

    def approves(ref: JobRef) -> bool:
        return ref.project_id in policies and policies[ref.project_id].of(ref.cluster_name) in own

    ids = frozenset({actor.id}).union(*(person.ids for _, person in people))
    return Viewer(ids=ids, channel=channel, approves=approves)


async def known_jobs(
    deps: Dependencies, read: Sequence[tuple[JobRef, RestoreJob]], unread: Collection[str] = ()
) -> Mapping[JobRef, Job]:
    """Return what is known about jobs, by what was read alone while the database fails."""
    of_jobs = partial(deps.service.jobs.of_jobs, read, unread=unread)
    try:
        return await of_jobs()
    except CancellationError:
        return await of_jobs(stored=False)


def job_list(
    listing: Search,
    cluster: str | None,
    start: int,
    known: Mapping[JobRef, Job],
    *,
    is_read_only: bool = False,
) -> dict[str, Any]:
    """Build one page of the cancellable jobs of a cluster or of all, after `start` jobs.

    `is_read_only` is whether the bot cancels in none of the projects.
    """
    page = listing.jobs[start : start + PAGE_SIZE]
    headline = _headline(listing, cluster, start, len(page), is_read_only=is_read_only)
    entries = [job_entry(found, known[found.ref]) for found in page]
    blocks = [blockkit.section(headline), *entries]
    following = start + PAGE_SIZE
    if (left := len(listing.jobs) - following) > 0:
        label = f"{min(left, PAGE_SIZE)} more"
        more = blockkit.button(label, ids.MORE, f"{following} {cluster or ''}")
        blocks.append(blockkit.actions(more))
    if listing.unavailable:
        blocks += unavailable_blocks(listing.unavailable)
        blocks.append(blockkit.try_again(ids.MORE, f"{start} {cluster or ''}"))
    return {"response_type": "ephemeral", "text": headline, "blocks": blocks}


def job_entry(found: CancellableJob, known: Job, follows: str = "") -> Block:
    """Show one job, with what follows in quarantine, and the button that opens its dialog."""
    snapshot = mrkdwn.snapshot_time(found.job.snapshot_time)
    lines = [
        f"{mrkdwn.code(found.place.cluster)} in {mrkdwn.one_line(found.place.project.name)}",
        *job_lines.answer_lines(known),
        job_lines.started_line(found.ref, known),
        job_lines.link_line(known),
        *filter(None, [follows]),
        f"Snapshot {snapshot}, job {mrkdwn.code(found.job.id)}",
    ]
    is_read_only = found.place.project.why_read_only(found.place.cluster)
    label = "Show this download" if is_read_only else "Cancel this download"
    button = blockkit.button(label, ids.OPEN, job_value(found.ref))
    return blockkit.section("\n".join(lines)) | {"accessory": button}


def unavailable_blocks(unavailable: Iterable[UnreadCluster]) -> list[Block]:
    """Show one line for each project and reason."""
    grouped: dict[tuple[str, str, bool], list[str | None]] = {}
    for each in unavailable:
        grouped.setdefault((each.project, each.reason, each.in_part), []).append(each.cluster)
    shown = [*grouped.items()][:MAX_REASONS]
    lines = [_reason(*key, sorted(filter(None, names))) for key, names in shown]
    if (more := len(grouped) - MAX_REASONS) > 0:
        lines.append(f":warning: And {more} more reasons.")
    return [blockkit.section("\n".join(lines))] if lines else []


def _reason(project: str, why: str, in_part: bool, clusters: Sequence[str]) -> str:
    names = mrkdwn.join(map(mrkdwn.code, clusters), MAX_CLUSTERS)
    project = mrkdwn.one_line(project)
    where = f"{names} in {project}" if names else project
    why = mrkdwn.escape(why, 300)
    text = f"{where}: {why}" if in_part else f"Could not be read: {where}. {why}"
    return f":warning: {text}"


def _headline(
    listing: Search, cluster: str | None, start: int, shown: int, *, is_read_only: bool
) -> str:
    where, total = f" of {mrkdwn.code(cluster)}" if cluster else "", len(listing.jobs)
    if not total:
        seen = " in what could be read" if listing.unavailable else ""
        return f"{how_many(0, where, is_read_only=is_read_only)}{seen}."
    pages = f" ({start + 1} to {start + shown})" if total > PAGE_SIZE else ""
    places = [each.place for each in listing.jobs]
    is_read_only = all(each.project.why_read_only(each.cluster) for each in places)
    return f"*{how_many(total, where, pages, is_read_only=is_read_only)}*"


def how_many(total: int, where: str, pages: str = "", *, is_read_only: bool) -> str:
    """Count the downloads that can be cancelled, or that are running where the bot only watches."""
    jobs = mrkdwn.count(total, "download") if total else "No download"
    if not is_read_only:
        return f"{jobs}{where} can be cancelled now{pages}"
    runs, them = ("are running", "them") if total > 1 else ("is running", "it")
    how = f"; the bot only watches: cancel {them} in Atlas" if total else ""
    return f"{jobs}{where} {runs}{pages}{how}"


def no_such_cluster(cluster: str, similar: Iterable[str]) -> str:
    meant = mrkdwn.did_you_mean(similar)
    return f"There is no cluster {mrkdwn.code(cluster)}.{meant} {command_code('list')} shows all."


def request_list(
    past: Sequence[PastRequest], projects: Mapping[str, str], links: Links
) -> dict[str, Any]:
    """Build the list of the last requests, newest first; `projects` are names by id."""
    last = "The last request" if len(past) == 1 else f"The last {len(past)} requests"
    last += ", the most that one list shows" if len(past) == MAX_HISTORY else ""
    headline, blocks = NO_REQUESTS, history_sections(past, projects, links)
    if past:
        headline = f"*{last}*"
        blocks = [blockkit.section(headline), *blocks]
    return {"response_type": "ephemeral", "text": headline, "blocks": blocks}


def history_sections(
    past: Iterable[PastRequest], projects: Mapping[str, str], links: Links
) -> list[Block]:
    """Put as many requests into each block as fit; a message has at most 50 blocks.

    Without requests, say so.
    """
    texts = [""]
    for each in past:
        text = _past_request(each, projects, links)
        if texts[-1] and len(texts[-1]) + len(text) + 2 > blockkit.TEXT:
            texts.append("")
        texts[-1] = f"{texts[-1]}\n\n{text}".strip()
    return [blockkit.section(part or NO_REQUESTS) for part in texts]


def _past_request(past: PastRequest, projects: Mapping[str, str], links: Links) -> str:
    request, ref = past.request, past.request.ref
    name = projects.get(ref.project_id, ref.project_id)
    by = f"{mrkdwn.person(request.outcome.by)}, " if request.outcome.by else ""
    by_whom = f"by {mrkdwn.person(request.reviewed_by)}"
    review = f"reviewed {by_whom}" if request.reviewed_by else "*not reviewed yet*"
    alone = f" · :rotating_light: without approval, {review}" if request.acted_alone else ""
    card = f" · {mrkdwn.link(links.message(request.card), 'its thread')}" if request.card else ""
    reason = f"\n{mrkdwn.quote(request.ask.reason, 300)}" if request.ask.reason.strip() else ""
    download, when = mrkdwn.download(ref, name), mrkdwn.date(request.created_at)
    asked = f"{mrkdwn.person(request.requester)} asked {when} to cancel {download}"
    if request.by_bot:
        asked = f"{mrkdwn.capitalised(download)} went into quarantine {when}"
    return (
        f"{mrkdwn.state_label(request)} ({by}{mrkdwn.date(request.changed_at)})"
        f"{job_lines.lead(past.lead)}{alone}{card}\n{asked}{reason}"
    )
