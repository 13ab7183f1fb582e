"""The private list of the last requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import blockkit, mrkdwn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bot.slack.blockkit import Block
    from bot.slack.links import Links
    from bot.storage.history import PastRequest


def message(
    past: Sequence[PastRequest], projects: Mapping[str, str], links: Links
) -> dict[str, Any]:
    """Render the last requests.

    Args:
        past: newest first.
        projects: the projects' names by id.
        links: where the cards are.

    Returns:
        `response_type`, `text` and `blocks` of a private message.
    """
    last = "The last request" if len(past) == 1 else f"The last {len(past)} requests"
    said = f"*{last}*" if past else "Nothing was asked for yet."
    blocks = [blockkit.section(said), *sections(past, projects, links)]
    return {"response_type": "ephemeral", "text": said, "blocks": blocks}


def sections(
    past: Iterable[PastRequest],
    projects: Mapping[str, str],
    links: Links,
    limit: int = blockkit.TEXT,
) -> list[Block]:
    """Put as many requests into a block as fit: a message has 50 blocks."""
    texts = [""]
    for each in past:
        said = line(each, projects, links)
        if len(texts[-1]) + len(said) + 2 > limit:
            texts.append("")
        texts[-1] = f"{texts[-1]}\n\n{said}".strip()
    return [blockkit.section(part) for part in texts if part]


def line(past: PastRequest, projects: Mapping[str, str], links: Links) -> str:
    """Say who asked for what, and what became of it."""
    project = mrkdwn.line(projects.get(past.project_id, past.project_id))
    by = f" by {mrkdwn.person(past.by)}" if past.by else ""
    card = f" · {mrkdwn.link(links.message(past.card), 'its thread')}" if past.card else ""
    reason = f"\n{mrkdwn.quote(past.reason, 300)}" if past.reason.strip() else ""
    return (
        f"{mrkdwn.STATES[past.state]}{by} ({mrkdwn.when(past.changed_at)}){card}\n"
        f"{mrkdwn.person(past.requester)} asked {mrkdwn.when(past.asked_at)} to cancel restore job "
        f"{mrkdwn.code(past.job_id)} of {mrkdwn.code(past.cluster_name)} in {project}{reason}"
    )
