"""Builds calls and unwraps responses: paths, Accept, query, envelopes, pages (pure)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from bot.atlas.errors import AtlasError, OtherRefusal
from bot.atlas.models import JobRef, cluster_name, object_id

TOKEN_PATH: Final = "/api/oauth/token"  # noqa: S105 - a path, no password
ITEMS_PER_PAGE: Final = 500  #: the largest page that Atlas returns


class ApiVersion(StrEnum):
    """A version of the Administration API; both return the same restore jobs."""

    V2 = "v2"  #: versioned by media type
    V1 = "v1.0"  #: deprecated


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call, without method, host and version."""

    path: str  #: below the root of the version, each part quoted
    not_found: type[AtlasError] = OtherRefusal  #: what a 404 without a code means
    resource_version: str = "2023-01-01"  #: in v2; restore jobs have only one
    page: int | None = None  #: the number of the page of a list
    parameters: Mapping[str, str] = field(default_factory=dict)  #: of the query

    def path_for(self, version: ApiVersion) -> str:
        return f"/api/atlas/{version}{self.path}"

    def accept(self, version: ApiVersion) -> str:
        if version is ApiVersion.V1:
            return "application/json"
        return f"application/vnd.atlas.{self.resource_version}+json"

    def query(self, *, envelope: bool) -> dict[str, str]:
        """Return the query parameters that differ from their defaults."""
        query = dict(self.parameters)
        if envelope:
            query["envelope"] = "true"
        if self.page is not None:
            query |= {"pageNum": str(self.page), "itemsPerPage": str(ITEMS_PER_PAGE)}
        return query


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def project_path(project_id: str) -> str:
    return f"/groups/{object_id(project_id, 'project id')}"


def account_path(project_id: str, client_id: str) -> str:
    return f"{project_path(project_id)}/serviceAccounts/{quote(client_id, safe='')}"


def jobs_path(project_id: str, cluster: str) -> str:
    name = quote(cluster_name(cluster), safe="")
    return f"{project_path(project_id)}/clusters/{name}/backup/restoreJobs"


def job_path(ref: JobRef) -> str:
    return f"{jobs_path(ref.project_id, ref.cluster_name)}/{ref.job_id}"


#: A JSON escape can encode half of a surrogate pair, which cannot be encoded as UTF-8.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_body(body: bytes) -> object:
    """Parse JSON; None for an empty body, the text for another one (HTML, unpaired surrogates)."""
    try:
        payload: object = json.loads(body)
        if _SURROGATE.search(body):
            json.dumps(payload, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return body.decode(errors="replace") or None
    return payload


def unwrap_envelope(status: int, payload: object) -> tuple[int, object]:
    """Return status and payload from the envelope, if there is one.

    The documentation names the inner key both `content` and `envelope`. A list keeps its form and
    gets a `status`. A response without an envelope (the 204 of a DELETE) is returned unchanged.
    """
    if not isinstance(payload, Mapping):
        return status, payload
    inner = payload.get("status")
    if not isinstance(inner, int) or isinstance(inner, bool) or not 100 <= inner <= 599:  # noqa: PLR2004 - HTTP's range
        return status, payload
    for key in ("content", "envelope"):
        if key in payload:
            return inner, payload[key]
    return inner, payload


def has_next(page: Mapping[str, object]) -> bool:
    """Whether a page links to a next one; `rel` is a name, or a URL that ends in it."""
    links = page.get("links")
    items = links if isinstance(links, list) else []
    rels = [link.get("rel") for link in items if isinstance(link, Mapping)]
    return any(isinstance(rel, str) and rel.rsplit("/", 1)[-1] == "next" for rel in rels)
