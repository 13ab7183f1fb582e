"""Parses URLs of Atlas's web interface and of its API (pure; never raises)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bot.atlas import is_object_id

#: Path segments between `clusters` and the cluster's name in the web interface.
_PAGES = frozenset(
    {"detail", "backup", "edit", "restore", "snapshots", "metrics", "overview", "connect"}
)


@dataclass(frozen=True, slots=True)
class UrlParts:
    """The parts of a URL; the cluster's name is not validated."""

    project: str | None = None
    cluster: str | None = None
    job_id: str | None = None


def parse_url(word: str) -> UrlParts | None:
    """Parse a URL of any host; None if `word` is not a URL."""
    if not re.match(r"https?://", word, re.IGNORECASE):
        return None
    try:
        parts = urlsplit(word)
    except ValueError:  # for example an unclosed bracket
        return UrlParts()
    segments = [
        unquote(segment) for segment in f"{parts.path}/{parts.fragment}".split("/") if segment
    ]
    return UrlParts(
        project=_id_after(segments, "groups") or _id_after(segments, "v2"),
        cluster=_cluster(segments),
        job_id=_id_after(segments, "restoreJobs") or _id_after(segments, "restores"),
    )


def _after(segments: Sequence[str], word: str) -> Sequence[str]:
    lowered = [segment.lstrip("#").lower() for segment in segments]
    return segments[lowered.index(word.lower()) + 1 :] if word.lower() in lowered else ()


def _id_after(segments: Sequence[str], word: str) -> str | None:
    following = next(iter(_after(segments, word)), "").lower()
    return following if is_object_id(following) else None


def _cluster(segments: Sequence[str]) -> str | None:
    return next(
        (segment for segment in _after(segments, "clusters") if segment.lower() not in _PAGES), None
    )
