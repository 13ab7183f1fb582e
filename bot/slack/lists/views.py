"""The private list of what can be cancelled now, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.cancellation.lifecycle import JobFingerprint
from bot.slack import blockkit, ids, mrkdwn
from bot.slack import job_facts as job_words
from bot.slack.command.views import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.services.search_results import CancellableJob, Listing, Unavailable
    from bot.slack.blockkit import Block

#: Jobs on one page: with everything around them well below the 50 blocks of a message.
PAGE = 20

#: What could not be seen is named up to so many clusters a project, and reasons.
MOST_NAMED = 30
MOST_REASONS = 8


def message(listing: Listing, cluster: str | None, start: int = 0) -> dict[str, Any]:
    """Render one page.

    Args:
        listing: everything.
        cluster: the cluster that was asked for, or None for all.
        start: how many jobs were on the pages before.

    Returns:
        `response_type`, `text` and `blocks` of a private message.
    """
    page = listing.jobs[start : start + PAGE]
    said = _headline(listing, cluster, start, len(page))
    blocks = [blockkit.section(said), *map(entry, page), *_more(listing, cluster, start)]
    blocks += unseen(listing.unseen)
    return {"response_type": "ephemeral", "text": said, "blocks": blocks}


def entry(found: CancellableJob) -> Block:
    """Show one job, with the button that opens its dialog."""
    shown = JobFingerprint.of(found.job)
    taken = mrkdwn.when(shown.snapshot_time) if shown.snapshot_time else "time not given"
    said = (
        f"{mrkdwn.code(found.place.cluster)} in {mrkdwn.line(found.place.project.name)}: "
        f"restore job {mrkdwn.code(found.job.id)}\nSnapshot {taken}, "
        f"download link {job_words.link(shown)}"
    )
    ref = found.ref
    value = f"{ref.project_id} {ref.cluster_name} {ref.job_id}"
    button = blockkit.button("Cancel this job", ids.OPEN, value)
    return blockkit.section(said) | {"accessory": button}


def unseen(missing: Iterable[Unavailable]) -> list[Block]:
    """Name what could not be seen, by reason."""
    lines = reasons(missing)
    return [blockkit.section(blockkit.cut("\n".join(lines), blockkit.TEXT))] if lines else []


def reasons(missing: Iterable[Unavailable]) -> list[str]:
    """Say a line for each reason why something could not be seen (mrkdwn)."""
    grouped: dict[tuple[str, str], list[str | None]] = {}
    for each in missing:
        grouped.setdefault((each.project, each.why), []).append(each.cluster)
    lines = [_reason(*key, sorted(filter(None, which))) for key, which in grouped.items()]
    more = len(lines) - MOST_REASONS
    return lines[:MOST_REASONS] + ([f":warning: and {more} reasons more."] if more > 0 else [])


def _reason(project: str, why: str, clusters: Sequence[str]) -> str:
    named = [mrkdwn.code(cluster) for cluster in clusters[:MOST_NAMED]]
    if len(clusters) > MOST_NAMED:
        named.append(f"{len(clusters) - MOST_NAMED} more")
    where = f"{mrkdwn.listed(named)} in {mrkdwn.line(project)}" if named else mrkdwn.line(project)
    return f":warning: Not seen: {where}. {mrkdwn.escape(why, 300)}"


def _headline(listing: Listing, cluster: str | None, start: int, shown: int) -> str:
    where = f" of {mrkdwn.code(cluster)}" if cluster else ""
    total = len(listing.jobs)
    if not total:
        seen = " in what could be seen" if listing.unseen else ""
        return f"No restore job{where} can be cancelled now{seen}."
    jobs = "restore job" if total == 1 else "restore jobs"
    pages = f" ({start + 1} to {start + shown})" if total > PAGE else ""
    return f"*{total} {jobs}{where} can be cancelled now{pages}*"


def _more(listing: Listing, cluster: str | None, start: int) -> list[Block]:
    following = start + PAGE
    left = len(listing.jobs) - following
    if left <= 0:
        return []
    button = blockkit.button(f"{min(left, PAGE)} more", ids.MORE, f"{following} {cluster or ''}")
    return [blockkit.actions(button)]


def no_such_cluster(cluster: str, near: Iterable[str]) -> str:
    """Say that a cluster is nowhere, and which was perhaps meant (mrkdwn)."""
    close = [mrkdwn.code(name) for name in near]
    meant = f" Did you mean {mrkdwn.listed(close)}?" if close else ""
    return f"There is no cluster {mrkdwn.code(cluster)}.{meant} {command('list')} shows all."
