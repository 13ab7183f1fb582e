"""What the watch announces: one message a download restore job, drawn anew when the job changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.cancellation.watched_job import WatchedState
from bot.slack import blockkit, ids, job_facts, mrkdwn
from bot.slack.command.grammar import job_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.cancellation.lifecycle import Request
    from bot.cancellation.watched_job import WatchedJob
    from bot.slack.blockkit import Block
    from bot.slack.links import Links

#: What the message says first, by where the job stands.
HEADLINES: Mapping[WatchedState, str] = {
    WatchedState.IN_PROGRESS: (
        ":inbox_tray: A download of a backup was started; its link is not there yet"
    ),
    WatchedState.LINK_LIVE: (
        ":warning: A backup can be downloaded by whoever has the link, which is live"
    ),
    WatchedState.FINISHED: (
        ":information_source: The download has finished: there is nothing to cancel"
    ),
    WatchedState.CANCELLED: ":white_check_mark: The download is cancelled: Atlas says so",
    WatchedState.EXPIRED: ":alarm_clock: The download link has expired; it may have been used",
    WatchedState.FAILED: ":information_source: The download has failed: there is nothing to cancel",
    WatchedState.GONE: ":grey_question: Atlas does not list this download any more",
}


def message(sighting: WatchedJob, project_name: str, links: Links) -> dict[str, Any]:
    """Render a sighting as it is now.

    Args:
        sighting: the job.
        project_name: what people call its project.
        links: where links lead.

    Returns:
        `text`, `blocks` and `metadata`, as chat.postMessage and chat.update take them.
    """
    return {
        "text": fallback(sighting, project_name),
        "blocks": blocks(sighting, project_name, links),
        "metadata": metadata(sighting),
    }


def metadata(sighting: WatchedJob) -> dict[str, Any]:
    """Mark the message as an announcement, for programs; it is no card."""
    payload = {
        "project": sighting.ref.project_id,
        "cluster": sighting.ref.cluster_name,
        "job": sighting.ref.job_id,
        "job_state": str(sighting.seen),
    }
    return {"event_type": ids.WATCH_METADATA, "event_payload": payload}


def fallback(sighting: WatchedJob, project_name: str) -> str:
    """Say in one line what notifications and screen readers get."""
    ref = sighting.ref
    which = f"restore job {mrkdwn.code(ref.job_id)} of {mrkdwn.code(ref.cluster_name)}"
    said = f"{HEADLINES[sighting.seen]} - {which} in {mrkdwn.one_line(project_name)}"
    return blockkit.cut(said, blockkit.FALLBACK)


def blocks(sighting: WatchedJob, project_name: str, links: Links) -> list[Block]:
    parts = [
        blockkit.section(f"*{HEADLINES[sighting.seen]}*"),
        blockkit.fields(_facts(sighting, project_name)),
    ]
    if not sighting.seen.is_over:
        parts.append(blockkit.actions(_cancel(sighting)))
    elif sighting.request:
        parts.append(blockkit.section(_asked(sighting.request, links)))
    return [
        *parts,
        blockkit.context(mrkdwn.link(links.cluster_page(sighting.ref), "Open in Atlas")),
    ]


def _facts(sighting: WatchedJob, project_name: str) -> list[tuple[str, str]]:
    shown = sighting.shown
    return [
        ("Project", mrkdwn.one_line(project_name) or "-"),
        ("Cluster", mrkdwn.code(sighting.ref.cluster_name)),
        ("Restore job", mrkdwn.code(sighting.ref.job_id)),
        ("Snapshot", job_facts.snapshot(shown)),
        ("First seen", mrkdwn.date(sighting.first_seen_at)),
        ("Ended", f"seen {mrkdwn.date(sighting.changed_at)}")
        if sighting.seen.is_over
        else ("Download link", job_facts.download_link(shown)),
    ]


def _cancel(sighting: WatchedJob) -> Block:
    return blockkit.button("Cancel this job", ids.OPEN, job_value(sighting.ref), style="danger")


def _asked(request: Request, links: Links) -> str:
    card = mrkdwn.link(links.card_of(request), "The request")
    return f"*{card}* of {mrkdwn.person(request.requester)}: {mrkdwn.STATE_LABELS[request.state]}"
