"""Selects the version of a resource from the Accept header."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from bot.sandbox.atlas.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSIONED = re.compile(r"application/vnd\.atlas\.(\d{4}-\d{2}-\d{2})\+json", re.IGNORECASE)
_JSON = frozenset({"application/json", "application/*", "*/*"})


def resolve(accept: str, versions: Sequence[str], today: date) -> str:
    """Return the newest version that is not later than the requested date.

    Raises INVALID_VERSION_DATE when the header names no date, a day that never was or is still to
    come, or one before the resource's first version.
    """
    for name in media_types(accept):
        match = _VERSIONED.fullmatch(name)
        if match and _is_day(match[1], today):
            older = [version for version in versions if version <= match[1]]
            if older:
                return max(older)
    raise AtlasError("INVALID_VERSION_DATE")


def media(version: str) -> str:
    """Return the Content-Type of a response in `version`."""
    return f"application/vnd.atlas.{version}+json;charset=utf-8"


def takes_json(accept: str) -> bool:
    """Whether v1.0 can respond: the Accept header is missing or allows JSON."""
    return not accept.strip() or bool(_JSON & set(media_types(accept)))


def media_types(accept: str) -> list[str]:
    """Return the media types that an Accept header names, without their parameters."""
    return [part.partition(";")[0].strip().lower() for part in accept.split(",")]


def _is_day(text: str, today: date) -> bool:
    try:
        return date.fromisoformat(text) <= today
    except ValueError:
        return False
