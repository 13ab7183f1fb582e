"""How a call is written and an answer unwrapped: paths, Accept, query, envelope, pages (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from bot.atlas.models import JobRef, cluster_name, object_id

TOKEN_PATH: Final = "/api/oauth/token"  # noqa: S105 - a path, no password
#: The most that Atlas gives on one page.
ITEMS_PER_PAGE: Final = 500


class ApiVersion(StrEnum):
    """Which Administration API is spoken; both answer the same restore jobs."""

    V2 = "v2"  #: versions by media type
    V1 = "v1.0"  #: the deprecated one


class Resource(StrEnum):
    """What a path names last, so that a bare 404 can be told apart."""

    JOB = "job"
    JOBS = "jobs"
    CLUSTERS = "clusters"
    PROJECT = "project"
    PROJECTS = "projects"


#: The resource version of each path in v2; restore jobs have had one only.
_RESOURCE_VERSION: Final = {
    Resource.JOB: "2023-01-01",
    Resource.JOBS: "2023-01-01",
    Resource.CLUSTERS: "2024-08-05",
    Resource.PROJECT: "2023-01-01",
    Resource.PROJECTS: "2023-01-01",
}


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the API is spoken: its version, and the two query parameters that every call takes."""

    version: ApiVersion = ApiVersion.V2
    envelope: bool = False
    pretty: bool = False


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call, before its dialect and host are known.

    Attributes:
        path: below the version's root, each part quoted.
        page: which page of a list, or None for a single thing.
    """

    method: str
    path: str
    subject: Resource
    page: int | None = None

    def target(self, dialect: ApiOptions) -> str:
        """Return the path from the host on."""
        return f"/api/atlas/{dialect.version}{self.path}"

    def accept(self, dialect: ApiOptions) -> str:
        """Return the media type that is asked for."""
        if dialect.version is ApiVersion.V1:
            return "application/json"
        return f"application/vnd.atlas.{_RESOURCE_VERSION[self.subject]}+json"

    def query(self, dialect: ApiOptions) -> dict[str, str]:
        """Return the query parameters; those at their default are left out."""
        switches = {"envelope": dialect.envelope, "pretty": dialect.pretty}
        query = {name: "true" for name, wanted in switches.items() if wanted}
        if self.page is not None:
            query |= {"pageNum": str(self.page), "itemsPerPage": str(ITEMS_PER_PAGE)}
        return query


def get_job(ref: JobRef) -> ApiCall:
    return ApiCall("GET", _job_path(ref), Resource.JOB)


def cancel_job(ref: JobRef) -> ApiCall:
    return ApiCall("DELETE", _job_path(ref), Resource.JOB)


def list_jobs(project_id: str, cluster: str) -> ApiCall:
    return ApiCall("GET", _jobs_path(project_id, cluster), Resource.JOBS, page=1)


def list_clusters(project_id: str) -> ApiCall:
    return ApiCall("GET", f"{_project_path(project_id)}/clusters", Resource.CLUSTERS, page=1)


def get_project(project_id: str) -> ApiCall:
    return ApiCall("GET", _project_path(project_id), Resource.PROJECT)


def list_projects() -> ApiCall:
    return ApiCall("GET", "/groups", Resource.PROJECTS, page=1)


def _project_path(project_id: str) -> str:
    return f"/groups/{object_id(project_id, 'project id')}"


def _jobs_path(project_id: str, cluster: str) -> str:
    name = quote(cluster_name(cluster), safe="")
    return f"{_project_path(project_id)}/clusters/{name}/backup/restoreJobs"


def _job_path(ref: JobRef) -> str:
    return f"{_jobs_path(ref.project_id, ref.cluster_name)}/{ref.job_id}"


#: JSON's escapes can spell half of a pair, a character that nobody can write or send on.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_body(body: bytes) -> object:
    """Read JSON; None where it is none (an empty body, HTML, nonsense, halves of characters)."""
    try:
        found: object = json.loads(body)
        if _HALF.search(body):
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found


def unwrap_envelope(status: int, payload: object) -> tuple[int, object]:
    """Take an answer out of its envelope, if it is in one; the envelope's status counts.

    Atlas's pages name the inner key `content` or `envelope`; a list keeps its shape and gains a
    `status`. What is not in an envelope (a DELETE's bare 204) comes back as it is.
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
    """Say whether a page links to a next one (`rel` is bare or an address that ends so)."""
    links = page.get("links")
    found = links if isinstance(links, list) else []
    rels = [link.get("rel") for link in found if isinstance(link, Mapping)]
    return any(isinstance(rel, str) and rel.rsplit("/", 1)[-1] == "next" for rel in rels)
