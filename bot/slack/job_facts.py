"""How a restore job's facts read, in the dialog and on the card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.slack import mrkdwn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.cancellation.lifecycle import JobFingerprint

#: Atlas's words for delivery types, as people would say them.
TYPES: Mapping[str, str] = {
    "download": "download of a snapshot",
    "automated": "automated restore to a cluster",
    "pointInTime": "point-in-time restore to a cluster",
}


def with_article(word: str) -> str:
    """Name a type in the middle of a plain sentence."""
    said = TYPES.get(word) or f"{mrkdwn.clean(word)[:64]} restore"
    return f"{'an' if said[:1].lower() in 'aeiou' else 'a'} {said}"


def delivery_type(word: str) -> str:
    return TYPES.get(word) or mrkdwn.escape(word, 100)


def snapshot(shown: JobFingerprint) -> str:
    taken = mrkdwn.when(shown.snapshot_time) if shown.snapshot_time else "time not given"
    return f"{taken}\n{mrkdwn.code(shown.snapshot_id)}"


def link(shown: JobFingerprint) -> str:
    """Say whether somebody may have the data already."""
    if shown.delivery_type != "download":
        return "none"
    if not shown.cancellable:
        return "none"
    if not shown.link_is_live:
        return "not there yet"
    until = f" until {mrkdwn.when(shown.expires_at)}" if shown.expires_at else ""
    return f":warning: live{until}: it may have been used"


def facts(shown: JobFingerprint, link_label: str = "Download link") -> list[tuple[str, str]]:
    """List what the fingerprint keeps, labelled; on a card the link is as it was when asked."""
    listed = [
        ("Type", delivery_type(shown.delivery_type)),
        ("Snapshot", snapshot(shown)),
        (link_label, link(shown)),
    ]
    return [*listed, ("Restores to", mrkdwn.code(shown.target))] if shown.target else listed
