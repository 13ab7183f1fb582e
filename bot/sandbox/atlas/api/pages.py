"""Pagination: query parameters, links, and the total count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bot.sandbox.atlas.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PAGE_SIZE = 500
#: The largest page number; the API is written in Java.
LAST_PAGE = 2**31 - 1
DEFAULT_PAGE_SIZE = 100
BOOLEANS = frozenset({"true", "false"})
KNOWN = frozenset(
    {
        *("pageNum", "itemsPerPage", "includeCount", "envelope", "pretty"),
        *("includeDeletedWithRetainedBackups", "eventType", "minDate", "maxDate"),
    }
)


@dataclass(frozen=True)
class Paging:
    """The requested page, its size, and whether to include the total count."""

    number: int
    size: int
    count: bool


def check_query(query: Mapping[str, str]) -> None:
    """Raise INVALID_QUERY_PARAMETER for an invalid flag or an unknown name."""
    for name in ("envelope", "pretty", "includeCount"):
        if query.get(name, "true") not in BOOLEANS:
            raise AtlasError("INVALID_QUERY_PARAMETER", {"parameter": name})
    for name in query:
        if name not in KNOWN:
            raise AtlasError("INVALID_QUERY_PARAMETER", {"parameter": name})


def paging(query: Mapping[str, str]) -> Paging:
    """Read the paging parameters; raise INVALID_QUERY_PARAMETER for one out of bounds."""
    return Paging(
        number=_number(query, "pageNum", 1, LAST_PAGE),
        size=_number(query, "itemsPerPage", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
        count=query.get("includeCount", "true") == "true",
    )


def page(
    items: Sequence[object], query: Mapping[str, str], url: str, *, neighbours: bool = True
) -> dict[str, object]:
    """Return the requested page of `items`, with links to its neighbours.

    Without `neighbours` a page that was requested without a count links to itself only.
    """
    asked = paging(query)
    start = (asked.number - 1) * asked.size
    document: dict[str, object] = {
        "links": _links(asked, query, url, more=start + asked.size < len(items)),
        "results": list(items[start : start + asked.size]),
    }
    if not (neighbours or asked.count):
        document["links"] = _links(asked, query, url, more=False)[:1]
    if asked.count:
        document["totalCount"] = len(items)
    return document


def _number(query: Mapping[str, str], name: str, usual: int, largest: int) -> int:
    text = query.get(name, str(usual))
    number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else 0
    if not 1 <= number <= largest:
        raise AtlasError("INVALID_QUERY_PARAMETER", {"parameter": name})
    return number


def _links(asked: Paging, query: Mapping[str, str], url: str, *, more: bool) -> list[object]:
    """Build the links; as in Atlas, `self` and its neighbours order parameters differently."""
    count = str(asked.count).lower()
    others = {name: value for name, value in query.items() if name in {"envelope", "pretty"}}

    def neighbour(rel: str, number: int) -> dict[str, str]:
        pairs = {"includeCount": count, **others, "itemsPerPage": asked.size, "pageNum": number}
        return {"href": f"{url}?{urlencode(pairs)}", "rel": rel}

    mine = {"includeCount": count, **others, "pageNum": asked.number, "itemsPerPage": asked.size}
    links: list[object] = [{"href": f"{url}?{urlencode(mine)}", "rel": "self"}]
    if asked.number > 1:
        links.append(neighbour("previous", asked.number - 1))
    if more:
        links.append(neighbour("next", asked.number + 1))
    return links
