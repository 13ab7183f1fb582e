"""The announcement of a download restore job (pure)."""

from collections.abc import Mapping
from typing import Any

from bot.cancellation.lifecycle import Request
from bot.cancellation.watched_job import WatchedJob, WatchedState
from bot.slack import blockkit, ids, job_facts, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.client import Links
from bot.slack.command.grammar import job_value
from bot.slack.deployment import labelled

#: The first line, by the state of the job.
HEADLINES: Mapping[WatchedState, str] = {
    WatchedState.IN_PROGRESS: (
        ":inbox_tray: A download of a backup was started; its link is not there yet"
    ),
    WatchedState.LINK_LIVE: (
        ":warning: A backup can be downloaded by anyone who has the link, which is live"
    ),
    WatchedState.FINISHED: (
        ":information_source: The download has finished: there is nothing to cancel"
    ),
    WatchedState.CANCELLED: ":white_check_mark: The download is cancelled: Atlas confirms it",
    WatchedState.EXPIRED: ":alarm_clock: The download link has expired; it may have been used",
    WatchedState.FAILED: ":information_source: The download has failed: there is nothing to cancel",
    WatchedState.GONE: ":grey_question: Atlas does not list this download any more",
}


#: The same for a job that the watch did not see start.
WAS_RUNNING = ":inbox_tray: A download of a backup is already running; its link is not there yet"


#: The same for a new download that the bot would have quarantined.
BEYOND_LIMIT = (
    ":rotating_light: *Limit reached* The bot itself cancels no more downloads of this project in "
    "this hour (BOT_QUARANTINE_LIMIT): only people can cancel this one."
)


def headline(job: WatchedJob) -> str:
    if job.was_running and job.state is WatchedState.IN_PROGRESS:
        return WAS_RUNNING
    return HEADLINES[job.state]


def message(
    job: WatchedJob, project_name: str, links: Links, why_read_only: str = ""
) -> dict[str, Any]:
    """Build `text`, `blocks` and `metadata`, for chat.postMessage and chat.update.

    `why_read_only` (plain text) takes the place of the button where the bot does not cancel.
    """
    return {
        "text": fallback(job, project_name),
        "blocks": blocks(job, project_name, links, why_read_only),
        "metadata": metadata(job),
    }


def metadata(job: WatchedJob) -> dict[str, Any]:
    """Return the metadata by which programs tell announcements from cards."""
    payload = {
        "project": job.ref.project_id,
        "cluster": job.ref.cluster_name,
        "job": job.ref.job_id,
        "job_state": str(job.state),
    }
    return {"event_type": ids.WATCH_METADATA, "event_payload": payload}


def fallback(job: WatchedJob, project_name: str) -> str:
    """Return the line for notifications and screen readers."""
    line = f"{headline(job)} - {mrkdwn.job(job.ref, project_name)}"
    return blockkit.cut(labelled(line), blockkit.FALLBACK)


def blocks(
    job: WatchedJob, project_name: str, links: Links, why_read_only: str = ""
) -> list[Block]:
    """Build the announcement: what decides comes first, the ids last."""
    first_line = job_facts.headline(headline(job), job.ref, project_name)
    lines = [first_line, job_facts.started_line(job.ref, job.facts)]
    if job.beyond_limit and not job.state.is_over:
        lines.append(BEYOND_LIMIT)
    if job.facts and not job.state.is_over:
        lines.append(job_facts.link_line(job.facts.clock, job.facts.phase))
    parts = [blockkit.section("\n".join(lines))]
    if not job.state.is_over:
        if why_read_only:
            parts.append(blockkit.section(mrkdwn.escape(why_read_only)))
        if buttons := [*_cancel(job, why_read_only), *job_facts.feed_buttons(job.facts)]:
            parts.append(blockkit.actions(*buttons))
    elif job.request:
        parts.append(blockkit.section(_request_line(job.request, links)))
    return [
        *parts,
        blockkit.fields(_details(job)),
        blockkit.context(mrkdwn.link(links.cluster_page(job.ref), "Open in Atlas")),
    ]


def _details(job: WatchedJob) -> list[tuple[str, str]]:
    ended = [("Ended", f"seen {mrkdwn.date(job.changed_at)}")] if job.state.is_over else []
    return [
        ("Snapshot", mrkdwn.snapshot(job.shown)),
        ("First seen", mrkdwn.date(job.first_seen_at)),
        *ended,
        ("Restore job", mrkdwn.code(job.ref.job_id)),
    ]


def _cancel(job: WatchedJob, why_read_only: str) -> list[Block]:
    if why_read_only:
        return []
    return [blockkit.button("Cancel this job", ids.OPEN, job_value(job.ref), style="danger")]


def _request_line(request: Request, links: Links) -> str:
    card = mrkdwn.link(links.card_of(request), "The request")
    return f"*{card}* of {mrkdwn.person(request.requester)}: {mrkdwn.STATE_LABELS[request.state]}"
