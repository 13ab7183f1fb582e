"""Describes a restore job's facts, for dialogs, cards and lists."""

from __future__ import annotations

from collections.abc import Mapping

from bot.cancellation.lifecycle import JobFingerprint
from bot.slack import mrkdwn

#: Atlas's delivery types, described for people.
DELIVERY_TYPES: Mapping[str, str] = {
    "download": "download of a snapshot",
    "automated": "automated restore to a cluster",
    "pointInTime": "point-in-time restore to a cluster",
}


def with_article(delivery_type: str) -> str:
    """Describe a delivery type within a plain-text sentence."""
    text = DELIVERY_TYPES.get(delivery_type)
    text = text or f"{mrkdwn.strip_invisible(delivery_type)[:64]} restore"
    return f"{'an' if text[:1].lower() in 'aeiou' else 'a'} {text}"


def snapshot_time(shown: JobFingerprint) -> str:
    return mrkdwn.date(shown.snapshot_time) if shown.snapshot_time else "time not given"


def snapshot(shown: JobFingerprint) -> str:
    return f"{snapshot_time(shown)}\n{mrkdwn.code(shown.snapshot_id)}"


def download_link(shown: JobFingerprint) -> str:
    """Say whether the download link exists, and until when."""
    if shown.delivery_type != "download" or not shown.cancellable:
        return "none"
    if not shown.link_is_live:
        return "not there yet"
    until = f" until {mrkdwn.date(shown.expires_at)}" if shown.expires_at else ""
    return f":warning: live{until}: it may have been used"


def facts(shown: JobFingerprint, link_label: str = "Download link") -> list[tuple[str, str]]:
    """List what a fingerprint holds, with labels."""
    kind = DELIVERY_TYPES.get(shown.delivery_type) or mrkdwn.escape(shown.delivery_type, 100)
    pairs = [("Type", kind), ("Snapshot", snapshot(shown)), (link_label, download_link(shown))]
    return [*pairs, ("Restores to", mrkdwn.code(shown.target))] if shown.target else pairs
