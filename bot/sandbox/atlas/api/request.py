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

    `versions` are its v2 versions, `rate` the set of endpoints whose bucket it takes from.
    """

    name: str
    template: str
    versions: tuple[str, ...] = ("2023-01-01",)
    rate: str = "backups"
    in_v1: bool = True
    methods: tuple[str, ...] = ("GET",)


_GROUP = "/groups/{group}"
_JOBS = f"{_GROUP}/clusters/{{cluster}}/backup/restoreJobs"
_ACCOUNT = f"{_GROUP}/serviceAccounts/{{client}}"
_CLUSTERS = ("2023-01-01", "2023-02-01", "2024-08-05")
_ACCOUNTS = ("2024-08-05",)

RESOURCES = (
    Resource(name="root", template="", rate="root"),
    Resource(name="project", template=_GROUP, rate="groups"),
    Resource(name="clusters", template=f"{_GROUP}/clusters", versions=_CLUSTERS, rate="clusters"),
    Resource(name="jobs", template=_JOBS),
    Resource(name="job", template=f"{_JOBS}/{{job}}", methods=("GET", "DELETE")),
    Resource(name="events", template=f"{_GROUP}/events", rate="events"),
    Resource(
        name="service_account", template=_ACCOUNT, versions=_ACCOUNTS, rate="groups", in_v1=False
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
