"""The one table from Atlas's statuses and error codes to our errors (pure)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from bot.atlas.errors import (
    AtlasError,
    AtlasUnavailable,
    ClusterNotFound,
    Facts,
    JobNotFound,
    KeyRefused,
    Maintenance,
    NotCancellable,
    NotOnAccessList,
    OtherRefusal,
    ProjectNotFound,
    RateLimited,
    RoleMissing,
    Unavailable,
    UnreadableAnswer,
    VersionGone,
    WrongClusterKind,
)
from bot.atlas.protocol import Resource

#: By `errorCode`. UNEXPECTED_ERROR is left out on purpose: it comes with 401, 404 and 500 alike.
_BY_CODE: dict[str, type[AtlasError]] = {
    "USER_UNAUTHORIZED": RoleMissing,
    "NOT_IN_GROUP": RoleMissing,
    "USER_CANNOT_ACCESS_GROUP": RoleMissing,
    "USER_CANNOT_ACCESS_ORG": RoleMissing,
    "ACCESS_FORBIDDEN": RoleMissing,
    "GROUP_NOT_FOUND": ProjectNotFound,
    "INVALID_GROUP_ID": ProjectNotFound,
    "CLUSTER_NOT_FOUND": ClusterNotFound,
    "INVALID_CLUSTER_NAME": ClusterNotFound,
    "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API": WrongClusterKind,
    "INCORRECT_BACKUP_API_ENDPOINT": WrongClusterKind,
    "RESTORE_JOB_NOT_FOUND": JobNotFound,
    "INVALID_JOB_ID": JobNotFound,
    "CANNOT_CANCEL_AUTOMATED_RESTORE": NotCancellable,
    "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED": NotCancellable,
    "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES": Maintenance,
    "VERSION_GONE": VersionGone,
    "INVALID_VERSION_DATE": VersionGone,
    "RATE_LIMITED": RateLimited,
    "RATE_LIMITED_TOKEN_BUCKET": RateLimited,
}

#: Families of codes, for members that the documentation spells in more than one way.
_BY_PART: tuple[tuple[str, type[AtlasError]], ...] = (
    ("ACCESS_LIST", NotOnAccessList),
    ("WHITELIST", NotOnAccessList),  # the documentation's old word
    ("SERVERLESS", WrongClusterKind),
    ("WRITES_NOT_ALLOWED", Maintenance),
    ("CANNOT_CANCEL", NotCancellable),
)

#: By status, where no code decides.
_BY_STATUS: dict[int, type[AtlasError]] = {
    HTTPStatus.UNAUTHORIZED: KeyRefused,
    HTTPStatus.FORBIDDEN: RoleMissing,
    HTTPStatus.NOT_ACCEPTABLE: VersionGone,
    HTTPStatus.GONE: VersionGone,
}

_NOT_FOUND: dict[Resource, type[AtlasError]] = {
    Resource.JOB: JobNotFound,
    Resource.JOBS: ClusterNotFound,
    Resource.CLUSTERS: ProjectNotFound,
    Resource.PROJECT: ProjectNotFound,
}

#: What OAuth calls credentials that are no good (RFC 6749, 5.2).
_BAD_CLIENT = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})

#: 4xx that say nothing about what was asked; it may pass, like a 5xx.
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,99}")
_API_PATH = re.compile(r"/api/[\w/{}-]*")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]{3,45}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_DETAIL_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error answer says.

    Attributes:
        detail: Atlas's explanation, cleaned and short.
        parameters: what its text was filled with.
        in_json: whether it is an object of JSON at all, as Atlas's answers are.
    """

    status: int
    code: str | None
    detail: str
    parameters: tuple[object, ...]
    retry_after: float | None
    in_json: bool


def error_for(
    status: int, headers: Mapping[str, str], payload: object, subject: Resource, asked: str
) -> AtlasError:
    """Turn an answer that is no success into one of our errors."""
    said = _said(status, headers, payload)
    return _error(_leaf(said, subject, asked.startswith("DELETE ")), said, asked)


def token_error_for(
    status: int, headers: Mapping[str, str], payload: object, asked: str
) -> AtlasError:
    """Turn a refusal of the token endpoint, which speaks OAuth, into one of our errors."""
    said = _said(status, headers, payload)
    body = payload if isinstance(payload, Mapping) else {}
    said = replace(
        said, code=_code(body.get("error")), detail=cleaned(body.get("error_description"))
    )
    refused = status == HTTPStatus.UNAUTHORIZED or said.code in _BAD_CLIENT
    return _error(_trouble(said) or (KeyRefused if refused else OtherRefusal), said, asked)


def _leaf(said: ErrorBody, subject: Resource, is_delete: bool) -> type[AtlasError]:
    """Decide: what may pass first, then the code, then the status."""
    settled = _leaf_of_code(said.code) or _leaf_of_status(said, subject, is_delete)
    return _trouble(said) or settled


def _trouble(said: ErrorBody) -> type[AtlasError] | None:
    if said.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited
    if said.status >= HTTPStatus.INTERNAL_SERVER_ERROR or said.status in _PASSING:
        return Unavailable
    return UnreadableAnswer if said.status < HTTPStatus.BAD_REQUEST else None


def _leaf_of_code(code: str | None) -> type[AtlasError] | None:
    if code is None:
        return None
    family = (leaf for part, leaf in _BY_PART if part in code)
    return _BY_CODE.get(code) or next(family, None)


def _leaf_of_status(said: ErrorBody, subject: Resource, is_delete: bool) -> type[AtlasError]:
    if said.status == HTTPStatus.NOT_FOUND:
        if subject is Resource.PROJECT and not said.in_json:
            return UnreadableAnswer  # some other server: Atlas says in JSON which project it misses
        return _NOT_FOUND.get(subject, OtherRefusal)
    if is_delete and said.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return NotCancellable
    return _BY_STATUS.get(said.status, OtherRefusal)


def _error(leaf: type[AtlasError], said: ErrorBody, asked: str) -> AtlasError:
    facts = Facts(status=said.status, code=said.code, detail=said.detail, asked=asked)
    if issubclass(leaf, RateLimited):
        return leaf(retry_after=said.retry_after, **facts)
    if issubclass(leaf, NotOnAccessList):
        return leaf(address=_address(said), **facts)
    if issubclass(leaf, AtlasUnavailable):
        applied = asked.startswith("DELETE ")
        return leaf(may_have_taken_effect=applied, retry_after=said.retry_after, **facts)
    if leaf is OtherRefusal:
        why = f"{said.code}, status {said.status}" if said.code else f"status {said.status}"
        return leaf(f"Atlas refused what was asked ({why}).", **facts)
    return leaf(**facts)


def _said(status: int, headers: Mapping[str, str], payload: object) -> ErrorBody:
    body = payload if isinstance(payload, Mapping) else {}
    code = _code(body.get("errorCode")) or _code(headers.get("X-Error-Code"))
    parameters = body.get("parameters")
    filled = tuple(parameters[:20]) if isinstance(parameters, list) else ()
    return ErrorBody(
        status=status,
        code=code,
        detail=cleaned(body.get("detail")),
        parameters=filled,
        retry_after=_retry_after(headers.get("Retry-After"), code, filled),
        in_json=isinstance(payload, Mapping),
    )


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def cleaned(detail: object) -> str:
    """Keep an explanation short, on one line, and without addresses: one might be a download's."""
    if not isinstance(detail, str):
        return ""
    words = "".join(c if c.isprintable() else " " for c in detail[:4000]).split()
    kept = ("(link left out)" if _may_be_a_link(word) else word for word in words)
    return " ".join(kept)[:_DETAIL_LENGTH]


def _may_be_a_link(word: str) -> bool:
    """Whether it has a path behind a host, with whatever scheme; paths of the API are none."""
    word = word.rstrip(".,;:!?")
    before, slash, path = word.partition("/")
    deep = "." in before or "." in path or "/" in path
    return bool(slash) and deep and not _API_PATH.fullmatch(word)


def _retry_after(
    header: str | None, code: str | None, parameters: tuple[object, ...]
) -> float | None:
    """Return the seconds to wait: from the header, or as the token bucket's error repeats them."""
    if header is not None and _SECONDS.fullmatch(header.strip()):
        return float(header)
    if code == "RATE_LIMITED_TOKEN_BUCKET" and len(parameters) > 1:
        seconds = parameters[1]
        return float(seconds) if isinstance(seconds, int) and 0 <= seconds <= 10**6 else None
    return None


def _address(said: ErrorBody) -> str | None:
    """Find the address that Atlas saw: in the parameters, or else in its sentence."""
    words = [item for item in said.parameters if isinstance(item, str)]
    for word in [*words, *_ADDRESS.findall(said.detail)]:
        try:
            return str(ipaddress.ip_address(word.strip(".")))
        except ValueError:
            continue
    return None
