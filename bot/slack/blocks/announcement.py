"""What the watch announces: one message a download restore job, drawn anew when the job changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.cancellation.sighting import Seen
from bot.slack import names
from bot.slack.blocks import job, kit, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.cancellation.lifecycle import Request
    from bot.cancellation.sighting import Sighting
    from bot.slack.blocks.kit import Block
    from bot.slack.links import Links

#: What the message says first, by where the job stands.
HEADLINES: Mapping[Seen, str] = {
    Seen.IN_PROGRESS: ":inbox_tray: A download of a backup was started; its link is not there yet",
    Seen.LINK_LIVE: ":warning: A backup can be downloaded by whoever has the link, which is live",
    Seen.FINISHED: ":information_source: The download has finished: there is nothing to cancel",
    Seen.CANCELLED: ":white_check_mark: The download is cancelled: Atlas says so",
    Seen.EXPIRED: ":alarm_clock: The download link has expired; it may have been used",
    Seen.FAILED: ":information_source: The download has failed: there is nothing to cancel",
    Seen.GONE: ":grey_question: Atlas does not list this download any more",
}


def message(sighting: Sighting, project_name: str, links: Links) -> dict[str, Any]:
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


def metadata(sighting: Sighting) -> dict[str, Any]:
    """Mark the message as an announcement, for programs; it is no card."""
    payload = {
        "project": sighting.ref.project_id,
        "cluster": sighting.ref.cluster_name,
        "job": sighting.ref.job_id,
        "job_state": str(sighting.seen),
    }
    return {"event_type": names.WATCH_METADATA, "event_payload": payload}


def fallback(sighting: Sighting, project_name: str) -> str:
    """Say in one line what notifications and screen readers get."""
    ref = sighting.ref
    which = f"restore job {text.code(ref.job_id)} of {text.code(ref.cluster_name)}"
    said = f"{HEADLINES[sighting.seen]} - {which} in {text.line(project_name)}"
    return kit.cut(said, kit.FALLBACK)


def blocks(sighting: Sighting, project_name: str, links: Links) -> list[Block]:
    parts = [
        kit.section(f"*{HEADLINES[sighting.seen]}*"),
        kit.fields(_facts(sighting, project_name)),
    ]
    if not sighting.seen.is_over:
        parts.append(kit.actions(_cancel(sighting)))
    elif sighting.request:
        parts.append(kit.section(_asked(sighting.request, links)))
    return [*parts, kit.context(text.link(links.cluster_page(sighting.ref), "Open in Atlas"))]


def _facts(sighting: Sighting, project_name: str) -> list[tuple[str, str]]:
    shown = sighting.shown
    return [
        ("Project", text.line(project_name) or "-"),
        ("Cluster", text.code(sighting.ref.cluster_name)),
        ("Restore job", text.code(sighting.ref.job_id)),
        ("Snapshot", job.snapshot(shown)),
        ("First seen", text.when(sighting.first_seen_at)),
        ("Ended", f"seen {text.when(sighting.changed_at)}")
        if sighting.seen.is_over
        else ("Download link", job.link(shown)),
    ]


def _cancel(sighting: Sighting) -> Block:
    ref = sighting.ref
    # What a person would type after the command; the project's id, for its name may change.
    value = f"{ref.project_id} {ref.cluster_name} {ref.job_id}"
    return kit.button("Cancel this job", names.OPEN, value, style="danger")


def _asked(request: Request, links: Links) -> str:
    card = text.link(links.card_of(request), "The request")
    return f"*{card}* of {text.person(request.requester)}: {text.STATES[request.state]}"
