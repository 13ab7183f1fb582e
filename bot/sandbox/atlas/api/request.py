"""Parses requests, and matches their paths to the resources of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Api = Literal["v1.0", "v2"]

ROOTS: dict[Api, str] = {"v1.0": "/api/atlas/v1.0", "v2": "/api/atlas/v2"}


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """One request: `target` is the raw request target, header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str
    address: str
    at: datetime
    base: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        text = self.target.partition("?")[2]
        return dict(parse_qsl(text, keep_blank_values=True))

    def values_of(self, name: str) -> list[str]:
        """Return all values of a parameter that a query may repeat."""
        pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        return [value for each, value in pairs if each == name]

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def api(self) -> Api:
        return "v1.0" if self.path.startswith(ROOTS["v1.0"]) else "v2"

    @property
    def root(self) -> str:
        """Return the root of the API for links, such as `http://127.0.0.1:8080/api/atlas/v2`."""
        return f"{self.base}{ROOTS[self.api]}"

    def flag(self, name: str) -> bool:
        return self.query.get(name) == "true"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind of path; the request fills the names in its braces.

    `versions` are its v2 versions, `rate` the set of endpoints whose bucket it takes from,
    `java` the value of the header X-Java-Method.
    """

    name: str
    template: str
    versions: tuple[str, ...] = ("2023-01-01",)
    rate: str = "backups"
    java: str
    in_v1: bool = True
    methods: tuple[str, ...] = ("GET", "HEAD")

    def java_method(self, method: str) -> str:
        """Return the header X-Java-Method; the value for a DELETE is a guess."""
        return f"{_JOBS}::cancelRestoreJob" if method == "DELETE" else self.java


_CLUSTERS = ("2023-01-01", "2023-02-01", "2024-08-05")
_FLEX = ("2024-11-13",)
_JOBS = "ApiAtlasDiskBackupRestoreJobsResource"
_GROUP = "/groups/{group}"
_CLUSTER = "/groups/{group}/clusters/{cluster}"
_FLEX_CLUSTER = "/groups/{group}/flexClusters/{cluster}"

RESOURCES = (
    Resource(name="root", template="", rate="root", java="ApiRootResource::getRoot"),
    Resource(
        name="projects",
        template="/groups",
        rate="groups",
        java="ApiAtlasGroupsResource::getGroups",
    ),
    Resource(
        name="project", template=_GROUP, rate="groups", java="ApiAtlasGroupsResource::getGroup"
    ),
    Resource(
        name="clusters",
        template=f"{_GROUP}/clusters",
        versions=_CLUSTERS,
        rate="clusters",
        java="ApiAtlasClusterDescriptionResource::getClusters",
    ),
    Resource(
        name="cluster",
        template=_CLUSTER,
        versions=_CLUSTERS,
        rate="clusters",
        java="ApiAtlasClusterDescriptionResource::getCluster",
    ),
    Resource(
        name="jobs", template=f"{_CLUSTER}/backup/restoreJobs", java=f"{_JOBS}::getRestoreJobs"
    ),
    Resource(
        name="job",
        template=f"{_CLUSTER}/backup/restoreJobs/{{job}}",
        java=f"{_JOBS}::getRestoreJob",
        methods=("GET", "HEAD", "DELETE"),
    ),
    Resource(
        name="events",
        template=f"{_GROUP}/events",
        rate="events",
        java="ApiGroupEventsResource::getAllEvents",
    ),
    Resource(
        name="service_account",
        template=f"{_GROUP}/serviceAccounts/{{client}}",
        versions=("2024-08-05",),
        rate="groups",
        java="ApiGroupServiceAccountsResource::getServiceAccount",
        in_v1=False,
    ),
    Resource(
        name="account_addresses",
        template=f"{_GROUP}/serviceAccounts/{{client}}/accessList",
        versions=("2024-08-05",),
        rate="groups",
        java="ApiGroupServiceAccountsResource::getAccessList",
        in_v1=False,
    ),
    Resource(
        name="flex_clusters",
        template=f"{_GROUP}/flexClusters",
        versions=_FLEX,
        rate="clusters",
        java="ApiAtlasFlexClustersResource::getClusters",
        in_v1=False,
    ),
    Resource(
        name="flex_cluster",
        template=_FLEX_CLUSTER,
        versions=_FLEX,
        rate="clusters",
        java="ApiAtlasFlexClustersResource::getCluster",
        in_v1=False,
    ),
    Resource(
        name="flex_jobs",
        template=f"{_FLEX_CLUSTER}/backup/restoreJobs",
        versions=_FLEX,
        rate="flex",
        java="ApiAtlasFlexBackupRestoreJobsResource::getRestoreJobs",
        in_v1=False,
    ),
    Resource(
        name="flex_job",
        template=f"{_FLEX_CLUSTER}/backup/restoreJobs/{{job}}",
        versions=_FLEX,
        rate="flex",
        java="ApiAtlasFlexBackupRestoreJobsResource::getRestoreJob",
        in_v1=False,
    ),
)


def find(request: ApiRequest) -> tuple[Resource, dict[str, str]] | None:
    """Return the resource of a path with its values, or None for an unknown path."""
    root = ROOTS[request.api]
    if not f"{request.path}/".startswith(f"{root}/"):
        return None
    for resource in RESOURCES:
        values = match(resource.template, request.path.removeprefix(root))
        if values is not None and (resource.in_v1 or request.api == "v2"):
            return resource, values
    return None


def match(template: str, path: str) -> dict[str, str] | None:
    """Return the values of the template's names in `path`, unquoted; None if it differs."""
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    values: dict[str, str] = {}
    for piece, text in zip(wanted, given, strict=True):
        if piece.startswith("{"):
            values[piece.strip("{}")] = unquote(text)
        elif piece != text:
            return None
    return values
