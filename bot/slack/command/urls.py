"""Reads the addresses of Atlas's API and pages, as far as they name a job (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bot.atlas import is_object_id

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What stands between `clusters` and the name in the addresses of Atlas's pages.
_PAGES = frozenset(
    {"detail", "backup", "edit", "restore", "snapshots", "metrics", "overview", "connect"}
)


@dataclass(frozen=True, slots=True)
class Named:
    """What an address names; the cluster is not checked."""

    project: str | None = None
    cluster: str | None = None
    job_id: str | None = None


def read_url(word: str) -> Named | None:
    """Read an address of any host: Atlas has several, and stand-ins have theirs.

    Returns:
        what it names, which may be nothing; None for a word that is no address.
    """
    if not re.match(r"https?://", word, re.IGNORECASE):
        return None
    try:
        parts = urlsplit(word)
    except ValueError:  # a bracket that is no IPv6 address
        return Named()
    steps = [unquote(step) for step in f"{parts.path}/{parts.fragment}".split("/") if step]
    return Named(
        project=_id_after(steps, "groups") or _id_after(steps, "v2"),
        cluster=_cluster(steps),
        job_id=_id_after(steps, "restoreJobs") or _id_after(steps, "restores"),
    )


def _after(steps: Sequence[str], word: str) -> Sequence[str]:
    lowered = [step.lstrip("#").lower() for step in steps]
    return steps[lowered.index(word.lower()) + 1 :] if word.lower() in lowered else ()


def _id_after(steps: Sequence[str], word: str) -> str | None:
    following = next(iter(_after(steps, word)), "").lower()
    return following if is_object_id(following) else None


def _cluster(steps: Sequence[str]) -> str | None:
    return next((step for step in _after(steps, "clusters") if step.lower() not in _PAGES), None)
