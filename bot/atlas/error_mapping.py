"""Maps Atlas's statuses and error codes to `AtlasError`s (pure)."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from bot.atlas import errors
from bot.atlas.errors import AtlasError, AtlasUnavailable, OtherRefusal
from bot.atlas.models import one_line

#: By `errorCode`. UNEXPECTED_ERROR is not here: it comes with 401, 404 and 500.
_BY_CODE: dict[str, type[AtlasError]] = {
    "USER_UNAUTHORIZED": errors.RoleMissing,
    "NOT_IN_GROUP": errors.RoleMissing,
    "USER_CANNOT_ACCESS_GROUP": errors.RoleMissing,
    "USER_CANNOT_ACCESS_ORG": errors.RoleMissing,
    "ACCESS_FORBIDDEN": errors.RoleMissing,
    "GROUP_NOT_FOUND": errors.ProjectNotFound,
    "INVALID_GROUP_ID": errors.ProjectNotFound,
    "CLUSTER_NOT_FOUND": errors.ClusterNotFound,
    "INVALID_CLUSTER_NAME": errors.ClusterNotFound,
    "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API": errors.WrongClusterKind,
    "INCORRECT_BACKUP_API_ENDPOINT": errors.WrongClusterKind,
    "RESTORE_JOB_NOT_FOUND": errors.JobNotFound,
    "INVALID_JOB_ID": errors.JobNotFound,
    "CANNOT_CANCEL_AUTOMATED_RESTORE": errors.NotCancellable,
    "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED": errors.NotCancellable,
    "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES": errors.Maintenance,
    "VERSION_GONE": errors.VersionGone,
    "INVALID_VERSION_DATE": errors.VersionGone,
    "RATE_LIMITED": errors.RateLimited,
    "RATE_LIMITED_TOKEN_BUCKET": errors.RateLimited,
}

#: By a part of the code, where the documentation spells it in several ways.
_BY_PART: tuple[tuple[str, type[AtlasError]], ...] = (
    ("ACCESS_LIST", errors.NotOnAccessList),
    ("WHITELIST", errors.NotOnAccessList),  # its former name
    ("SERVERLESS", errors.WrongClusterKind),
    ("WRITES_NOT_ALLOWED", errors.Maintenance),
    ("CANNOT_CANCEL", errors.NotCancellable),
)

#: By status, without a known code.
_BY_STATUS: dict[int, type[AtlasError]] = {
    HTTPStatus.UNAUTHORIZED: errors.KeyRefused,
    HTTPStatus.FORBIDDEN: errors.RoleMissing,
    HTTPStatus.NOT_ACCEPTABLE: errors.VersionGone,
    HTTPStatus.GONE: errors.VersionGone,
}

#: OAuth's codes for wrong credentials (RFC 6749, 5.2).
_BAD_CLIENT = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})

#: 4xx that are temporary, like a 5xx.
_TEMPORARY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,99}")
_API_PATH = re.compile(r"/api/[\w/{}-]*")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]{3,45}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_DETAIL_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The content of an error response; `in_json` as Atlas's are."""

    status: int
    code: str | None
    detail: str
    parameters: tuple[object, ...]
    retry_after: float | None
    in_json: bool


def error_for(
    status: int,
    headers: Mapping[str, str],
    payload: object,
    call: str,
    not_found: type[AtlasError] = OtherRefusal,
) -> AtlasError:
    """Return the error for a response other than 2xx; `not_found` for a 404 without a code."""
    body = _parse(status, headers, payload)
    # Temporary failures come first, then the code, then the status.
    leaf = _temporary(body) or _leaf_of_code(body.code) or _leaf_of_status(body, not_found, call)
    return _error(leaf, body, call)


def token_error_for(
    status: int, headers: Mapping[str, str], payload: object, call: str
) -> AtlasError:
    """Return the error for a refusal of the OAuth token endpoint."""
    fields = payload if isinstance(payload, Mapping) else {}
    body = replace(
        _parse(status, headers, payload),
        code=_code(fields.get("error")),
        detail=cleaned(fields.get("error_description")),
    )
    refused = status == HTTPStatus.UNAUTHORIZED or body.code in _BAD_CLIENT
    return _error(_temporary(body) or (errors.KeyRefused if refused else OtherRefusal), body, call)


def _temporary(body: ErrorBody) -> type[AtlasError] | None:
    if body.status == HTTPStatus.TOO_MANY_REQUESTS:
        return errors.RateLimited
    if body.status >= HTTPStatus.INTERNAL_SERVER_ERROR or body.status in _TEMPORARY:
        return errors.Unavailable
    return errors.UnreadableAnswer if body.status < HTTPStatus.BAD_REQUEST else None


def _leaf_of_code(code: str | None) -> type[AtlasError] | None:
    if code is None:
        return None
    family = (leaf for part, leaf in _BY_PART if part in code)
    return _BY_CODE.get(code) or next(family, None)


def _leaf_of_status(body: ErrorBody, not_found: type[AtlasError], call: str) -> type[AtlasError]:
    if body.status == HTTPStatus.NOT_FOUND:
        if not_found is errors.ProjectNotFound and not body.in_json:
            return errors.UnreadableAnswer  # another server: Atlas answers in JSON
        return not_found
    if call.startswith("DELETE ") and body.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return errors.NotCancellable
    return _BY_STATUS.get(body.status, OtherRefusal)


def _error(leaf: type[AtlasError], body: ErrorBody, call: str) -> AtlasError:
    is_open = issubclass(leaf, AtlasUnavailable)
    may_be_executed = is_open and leaf is not errors.RateLimited and call.startswith("DELETE ")
    return leaf(
        _sentence(leaf, body),
        status=body.status,
        code=body.code,
        detail=body.detail,
        call=call,
        retry_after=body.retry_after if is_open else None,
        may_have_taken_effect=may_be_executed,
    )


def _sentence(leaf: type[AtlasError], body: ErrorBody) -> str | None:
    """Return the sentence with a fact of the response, or None for the error's own."""
    if leaf is errors.RateLimited and body.retry_after:
        return f"Atlas limits how often it may be asked: try again in {body.retry_after:.0f} s."
    if leaf is errors.NotOnAccessList and (address := _address(body)):
        return f"The bot's key may not be used from {address}: add that to its access list."
    if leaf is OtherRefusal:
        why = f"{body.code}, status {body.status}" if body.code else f"status {body.status}"
        return f"Atlas refused what was asked ({why})."
    return None


def _parse(status: int, headers: Mapping[str, str], payload: object) -> ErrorBody:
    fields = payload if isinstance(payload, Mapping) else {}
    code = _code(fields.get("errorCode")) or _code(headers.get("X-Error-Code"))
    listed = fields.get("parameters")
    parameters = tuple(listed[:20]) if isinstance(listed, list) else ()
    return ErrorBody(
        status=status,
        code=code,
        detail=cleaned(fields.get("detail")),
        parameters=parameters,
        retry_after=_retry_after(headers.get("Retry-After"), code, parameters),
        in_json=isinstance(payload, Mapping),
    )


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def cleaned(detail: object) -> str:
    """Return the explanation on one line, shortened, without links: one could be a download's."""
    if not isinstance(detail, str):
        return ""
    words = one_line(detail[:4000]).split()
    kept = ("(link left out)" if _may_be_a_link(word) else word for word in words)
    return " ".join(kept)[:_DETAIL_LENGTH]


def _may_be_a_link(word: str) -> bool:
    """Whether the word is a host with a path, with or without a scheme; not a path of the API."""
    word = word.rstrip(".,;:!?")
    before, slash, path = word.partition("/")
    deep = "." in before or "." in path or "/" in path
    return bool(slash) and deep and not _API_PATH.fullmatch(word)


def _retry_after(
    header: str | None, code: str | None, parameters: tuple[object, ...]
) -> float | None:
    """Return the seconds to wait, from the header or the token bucket's error."""
    if header is not None and _SECONDS.fullmatch(header.strip()):
        return float(header)
    if code == "RATE_LIMITED_TOKEN_BUCKET" and len(parameters) > 1:
        seconds = parameters[1]
        return float(seconds) if isinstance(seconds, int) and 0 <= seconds <= 10**6 else None
    return None


def _address(body: ErrorBody) -> str | None:
    """Return the client's address, from the parameters or else the explanation."""
    words = [item for item in body.parameters if isinstance(item, str)]
    for word in [*words, *_ADDRESS.findall(body.detail)]:
        try:
            return str(ipaddress.ip_address(word.strip(".")))
        except ValueError:
            continue
    return None
