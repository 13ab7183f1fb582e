"""Selects the version of a resource from the Accept header, and marks deprecated ones."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from bot.sandbox.atlas.clock import http_date
from bot.sandbox.atlas.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSIONED = re.compile(r"application/vnd\.atlas\.(\d{4}-\d{2}-\d{2})\+json", re.IGNORECASE)
_JSON = frozenset({"application/json", "application/*", "*/*"})

#: The dates of deprecation and sunset, by resource and version.
SUNSETS = {
    ("clusters", "2023-01-01"): (date(2023, 2, 1), date(2027, 7, 1)),
    ("clusters", "2023-02-01"): (date(2024, 8, 5), date(2027, 7, 1)),
}


def resolve(accept: str, versions: Sequence[str], today: date, status: int) -> str:
    """Return the newest version that is not later than the requested date.

    Raises INVALID_VERSION_DATE with `status` when the header names no date, a day that never was
    or is still to come, or one before the resource's first version.
    """
    for name in media_types(accept):
        match = _VERSIONED.fullmatch(name)
        if match and _is_day(match[1], today):
            older = [version for version in versions if version <= match[1]]
            if older:
                return max(older)
    raise AtlasError("INVALID_VERSION_DATE", status=status)


def media(version: str) -> str:
    """Return the Content-Type of a response in `version`."""
    return f"application/vnd.atlas.{version}+json;charset=utf-8"


def takes_json(accept: str) -> bool:
    """Whether v1.0 can respond: the Accept header is missing or allows JSON."""
    return not accept.strip() or bool(_JSON & set(media_types(accept)))


def deprecation_headers(resource: str, version: str, today: date) -> dict[str, str]:
    """Return the headers of a deprecated version; raise VERSION_GONE after its sunset."""
    dates = SUNSETS.get((resource, version))
    if dates is None:
        return {}
    deprecated, sunset = dates
    if today >= sunset:
        raise AtlasError("VERSION_GONE")
    return {"Deprecation": _midnight(deprecated), "Sunset": _midnight(sunset)}


def media_types(accept: str) -> list[str]:
    """Return the media types that an Accept header names, without their parameters."""
    return [part.partition(";")[0].strip().lower() for part in accept.split(",")]


def _is_day(text: str, today: date) -> bool:
    try:
        return date.fromisoformat(text) <= today
    except ValueError:
        return False


def _midnight(day: date) -> str:
    return http_date(datetime(day.year, day.month, day.day, tzinfo=UTC))
