"""Sends the private lists: cancellable jobs, page by page, and the last requests."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import AtlasError, JobRef
from bot.cancellation.errors import CancellationError
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import JobFingerprint
from bot.services.projects import Project
from bot.services.search_results import CancellableJob, Listing, Unavailable
from bot.slack import blockkit, ids, job_facts, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.command.grammar import job_value
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import command_code
from bot.slack.errors import DirectoryError, other_version, sentence_for
from bot.slack.history import history, viewer_of
from bot.slack.payloads import Actor, actor_of
from bot.slack.private_reply import ReplyTarget, reply_target_of

#: Seconds for reading the names of clusters for a suggestion.
SUGGESTION_TIMEOUT = 2.0

#: Jobs on one page; a message has at most 50 blocks.
PAGE_SIZE = 20

#: Unavailable clusters that one line names, and lines.
MAX_CLUSTERS = 30
MAX_REASONS = 8

NO_FACTS: Mapping[JobRef, JobFacts] = {}


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
        work = deps.replies.send_text(reply_to, other_version("button"))
    deps.start(work, "list", reply_to)


class Lists:
    """The private lists."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    async def show_jobs(
        self, cluster: str | None, actor: Actor, reply_to: ReplyTarget, start: int = 0
    ) -> None:
        """Show the jobs that can be cancelled, beginning with number `start`."""
        try:
            projects = await self._allowed(actor, reply_to)
        except (CancellationError, DirectoryError) as error:
            await self._deps.replies.send_text(reply_to, sentence_for(error))
            return
        listing = await self._deps.service.finder.listing(projects, cluster=cluster)
        if cluster and not listing.jobs and not listing.unavailable:
            names = await self._cluster_names(projects)
            if cluster not in names:
                similar = difflib.get_close_matches(cluster, names)
                text = no_such_cluster(cluster, similar)
                await self._deps.replies.send_text(reply_to, text)
                return
        facts = await facts_of(self._deps, listing.jobs[start : start + PAGE_SIZE])
        await self._deps.replies.send(reply_to, job_list(listing, cluster, start, facts))

    async def show_history(self, count: int, actor: Actor, reply_to: ReplyTarget) -> None:
        """Show the last requests."""
        try:
            projects = await self._allowed(actor, reply_to)
            names = {project.id: project.name for project in projects}
            past = await self._deps.service.history.recent(count, names)
            channel = reply_to.channel or reply_to.user
            viewer = await viewer_of(self._deps.directory, actor, channel, projects)
        except (CancellationError, DirectoryError) as error:
            await self._deps.replies.send_text(reply_to, sentence_for(error))
        else:
            readable = [viewer.readable(each) for each in past]
            await self._deps.replies.send(reply_to, history(readable, names, self._deps.links))

    async def _allowed(self, actor: Actor, reply_to: ReplyTarget) -> list[Project]:
        channel = reply_to.channel or reply_to.user
        return await self._deps.directory.allowed_projects(
            actor, channel, self._deps.service.projects.all
        )

    async def _cluster_names(self, projects: Sequence[Project]) -> list[str]:
        names: list[str] = []
        for project in projects:
            try:
                names += await self._deps.service.finder.clusters(
                    project.id, timeout=SUGGESTION_TIMEOUT
                )
            except AtlasError:
                continue  # the names only serve a suggestion
        return names


async def facts_of(deps: Dependencies, jobs: Sequence[CancellableJob]) -> Mapping[JobRef, JobFacts]:
    """Return the facts about listed jobs; none while the database does not answer."""
    try:
        return await deps.service.facts.of_jobs([(found.ref, found.job) for found in jobs])
    except CancellationError:
        return {}


def job_list(
    listing: Listing,
    cluster: str | None,
    start: int = 0,
    facts: Mapping[JobRef, JobFacts] = NO_FACTS,
) -> dict[str, Any]:
    """Build one page of the cancellable jobs of a cluster or of all, after `start` jobs."""
    page = listing.jobs[start : start + PAGE_SIZE]
    headline = _headline(listing, cluster, start, len(page))
    entries = [job_entry(found, facts.get(found.ref)) for found in page]
    blocks = [blockkit.section(headline), *entries, *_more(listing, cluster, start)]
    blocks += unavailable_blocks(listing.unavailable)
    return {"response_type": "ephemeral", "text": headline, "blocks": blocks}


def job_entry(found: CancellableJob, facts: JobFacts | None) -> Block:
    """Show one job, with the button that opens its dialog."""
    shown = JobFingerprint.of(found.job)
    link = job_facts.link_text(facts.clock, facts.phase) if facts else mrkdwn.download_link(shown)
    text = (
        f"{mrkdwn.code(found.place.cluster)} in {mrkdwn.one_line(found.place.project.name)}\n"
        f"{job_facts.started_line(found.ref, facts)}\n*Download link* {link}\n"
        f"Snapshot {mrkdwn.snapshot_time(shown)}, restore job {mrkdwn.code(found.job.id)}"
    )
    button = blockkit.button("Cancel this job", ids.OPEN, job_value(found.ref))
    return blockkit.section(text) | {"accessory": button}


def unavailable_blocks(unavailable: Iterable[Unavailable]) -> list[Block]:
    """Show what could not be read, and why."""
    lines = unavailable_lines(unavailable)
    return [blockkit.section(blockkit.cut("\n".join(lines), blockkit.TEXT))] if lines else []


def unavailable_lines(unavailable: Iterable[Unavailable]) -> list[str]:
    """Return one line (mrkdwn) for each project and reason."""
    grouped: dict[tuple[str, str, bool], list[str | None]] = {}
    for each in unavailable:
        grouped.setdefault((each.project, each.reason, each.in_part), []).append(each.cluster)
    lines = [_reason(*key, sorted(filter(None, names))) for key, names in grouped.items()]
    more = len(lines) - MAX_REASONS
    return lines[:MAX_REASONS] + ([f":warning: and {more} reasons more."] if more > 0 else [])


def _reason(project: str, why: str, in_part: bool, clusters: Sequence[str]) -> str:
    names = [mrkdwn.code(cluster) for cluster in clusters[:MAX_CLUSTERS]]
    if len(clusters) > MAX_CLUSTERS:
        names.append(f"{len(clusters) - MAX_CLUSTERS} more")
    project = mrkdwn.one_line(project)
    where = f"{mrkdwn.join(names)} in {project}" if names else project
    why = mrkdwn.escape(why, 300)
    return f":warning: {where}: {why}" if in_part else f":warning: Not seen: {where}. {why}"


def _headline(listing: Listing, cluster: str | None, start: int, shown: int) -> str:
    where = f" of {mrkdwn.code(cluster)}" if cluster else ""
    total = len(listing.jobs)
    if not total:
        seen = " in what could be seen" if listing.unavailable else ""
        return f"No restore job{where} can be cancelled now{seen}."
    jobs = "restore job" if total == 1 else "restore jobs"
    pages = f" ({start + 1} to {start + shown})" if total > PAGE_SIZE else ""
    return f"*{total} {jobs}{where} can be cancelled now{pages}*"


def _more(listing: Listing, cluster: str | None, start: int) -> list[Block]:
    following = start + PAGE_SIZE
    left = len(listing.jobs) - following
    if left <= 0:
        return []
    button = blockkit.button(
        f"{min(left, PAGE_SIZE)} more", ids.MORE, f"{following} {cluster or ''}"
    )
    return [blockkit.actions(button)]


def no_such_cluster(cluster: str, similar: Iterable[str]) -> str:
    """Say that no project has this cluster, and suggest similar names (mrkdwn)."""
    names = [mrkdwn.code(name) for name in similar]
    meant = f" Did you mean {mrkdwn.join(names)}?" if names else ""
    return f"There is no cluster {mrkdwn.code(cluster)}.{meant} {command_code('list')} shows all."
