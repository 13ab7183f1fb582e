"""The errors of calls to Atlas, and which one a status or error code of Atlas means.

Each leaf has the sentence for people.

AtlasError
├── AtlasRejected           a definite refusal: a retry changes nothing
└── AtlasUnavailable        not settled, and possibly temporary
    └── ConnectionFailed
        ├── NoConnection        before anything was sent
        └── ConnectionBroken    after something was sent
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass
from http import HTTPStatus
from typing import ClassVar

from bot.atlas.models import one_line


@dataclass(eq=False, repr=False)
class AtlasError(Exception):
    """A call to Atlas failed.

    `fact` says what happened; `str(error)` also says what a person who waits can do. The runner
    tries again by itself, so its messages have the fact alone.
    """

    sentence: ClassVar[str] = "A call to Atlas failed."
    advice: ClassVar[str] = ""
    instead: InitVar[str | None] = None  #: of the sentence, where the response has a fact
    _: KW_ONLY
    status: int | None = None  #: the HTTP status, or None without a response
    code: str | None = None  #: Atlas's `errorCode`, if given
    #: Atlas's own explanation, short; untrusted text, to be escaped before it is shown.
    detail: str = ""
    call: str = ""  #: method and path
    retry_after: float | None = None  #: seconds to wait, if Atlas gave them
    #: Whether a DELETE may have been executed all the same; read the job before anything else.
    may_have_taken_effect: bool = False

    def __post_init__(self, instead: str | None) -> None:
        self.fact = instead or self.sentence
        super().__init__(f"{self.fact} {self.advice}".rstrip())


class AtlasRejected(AtlasError):
    """Atlas refused what was asked."""


class KeyRefused(AtlasRejected):
    sentence = (
        "Atlas did not accept the bot's key: check it, and that it has access to this project."
    )


class RoleMissing(AtlasRejected):
    # Atlas's pages differ on whether the first role may read restore jobs; the second one may.
    sentence = (
        "The bot's key lacks a role in Atlas: give it Project Backup Recovery Operator, under "
        "Project Identity & Access, or Project Backup Manager if that is not enough."
    )


class NotOnAccessList(AtlasRejected):
    sentence = (
        "The bot's key may not be used from this address: add the address to its access list."
    )


class ProjectNotFound(AtlasRejected):
    sentence = "Atlas knows no such project: check the project id."


class ClusterNotFound(AtlasRejected):
    sentence = (
        "There is no such cluster in the project: check its name, and that the project is right."
    )


class WrongClusterKind(AtlasRejected):
    sentence = (
        "Atlas has no such downloads of this cluster: it is a flex, serverless or free one, or has "
        "no cloud backup."
    )


class JobNotFound(AtlasRejected):
    sentence = "The cluster has no such download: check its job id, and that the cluster is right."


class NotCancellable(AtlasRejected):
    sentence = (
        "Atlas does not cancel this job: it cancels whole download jobs only, until they are over."
    )


class VersionGone(AtlasRejected):
    sentence = (
        "Atlas does not serve this version of its API: update this program, or set another version."
    )


class OtherRefusal(AtlasRejected):
    sentence = "Atlas refused what was asked."


class AtlasUnavailable(AtlasError):
    """There was no usable response from Atlas."""


class RateLimited(AtlasUnavailable):
    sentence = "Atlas limits how often it may be asked."
    advice = "Try again in a minute."

    def __str__(self) -> str:
        if not self.retry_after:
            return super().__str__()
        return f"{self.fact} Try again in {self.retry_after:.0f} s."


class Maintenance(AtlasUnavailable):
    sentence = "Atlas is under maintenance."
    advice = "Try again later."


class TokenLimit(AtlasUnavailable):
    sentence = "The bot's service account has as many live tokens as Atlas allows."
    advice = "Give the bot a service account of its own."


class NotFoundToCancel(AtlasUnavailable):
    """A 404 for the DELETE of a job that was just read."""

    sentence = "Atlas did not find the download when it was to cancel it."
    advice = "Try again in a minute."


class Unavailable(AtlasUnavailable):
    sentence = "Atlas answered with an internal error."
    advice = "Try again in a minute."


class UnreadableAnswer(AtlasUnavailable):
    sentence = "Atlas's answer could not be read: check that the address is Atlas's."
    advice = "Try again."


class ChallengeNotUnderstood(AtlasUnavailable):
    sentence = (
        "The server asks for a login that an API key cannot give: check its address, and any proxy."
    )


class TimedOut(AtlasUnavailable):
    sentence = "Atlas did not answer in time."
    advice = "Try again in a minute."


class ConnectionFailed(AtlasUnavailable):
    """There was no connection, or it broke."""


class NoConnection(ConnectionFailed):
    sentence = (
        "Atlas could not be reached: check the address, the network, and the proxy if there is one."
    )


class ConnectionBroken(ConnectionFailed):
    sentence = "The connection to Atlas broke before its answer was complete."
    advice = "Try again."


#: By `errorCode`. UNEXPECTED_ERROR is not here: it comes with 401, 404 and 500.
BY_CODE: dict[str, type[AtlasError]] = {
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
    "FEATURE_UNSUPPORTED": WrongClusterKind,  # the smallest clusters have no cloud backup
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

_NOT_FOUND = frozenset({JobNotFound, ClusterNotFound, ProjectNotFound})

#: By a part of the code, where the documentation spells it in several ways.
_BY_PART: tuple[tuple[str, type[AtlasError]], ...] = (
    ("ACCESS_LIST", NotOnAccessList),
    ("WHITELIST", NotOnAccessList),  # its former name
    ("SERVERLESS", WrongClusterKind),
    ("WRITES_NOT_ALLOWED", Maintenance),
    ("CANNOT_CANCEL", NotCancellable),
)

#: By status, without a known code.
_BY_STATUS: dict[int, type[AtlasError]] = {
    HTTPStatus.UNAUTHORIZED: KeyRefused,
    HTTPStatus.FORBIDDEN: RoleMissing,
    HTTPStatus.NOT_ACCEPTABLE: VersionGone,
    HTTPStatus.GONE: VersionGone,
}

#: What people can mend, by a status that Atlas gives with a code, and a proxy without one.
_ADVICE_WITHOUT_CODE: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "check the key's role and access list, and the proxy if there is one.",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "check the proxy, and the login that it asks for.",
    HTTPStatus.CONFLICT: "look at the download in Atlas, and at the proxy if there is one.",
    HTTPStatus.NOT_FOUND: "check the ids and the address, and the proxy if there is one.",
}

#: 4xx that are temporary, like a 5xx.
_TEMPORARY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,99}")
_API_PATH = re.compile(r"/api/[\w/{}-]*")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]{3,45}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_DETAIL_LENGTH = 300
MAINTENANCE_PAUSE = 15.0  #: seconds after which a change is tried again


def error_for(
    status: int,
    headers: Mapping[str, str],
    payload: object,
    call: str,
    not_found: type[AtlasError] = OtherRefusal,
) -> AtlasError:
    """Return the error for a response other than 2xx; `not_found` for a 404 without a code."""
    code = code_of(headers, payload)
    # Temporary failures come first, then the code, then the status.
    parts = (leaf for part, leaf in _BY_PART if part in (code or ""))
    leaf = temporary_leaf(status) or BY_CODE.get(code or "") or next(parts, None)
    leaf = leaf or _leaf_of_status(status, call, not_found, payload)
    if call.startswith("DELETE ") and leaf in _NOT_FOUND:
        leaf = NotFoundToCancel
    return build_error(leaf, status, headers, payload, call)


def temporary_leaf(status: int) -> type[AtlasError] | None:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TEMPORARY:
        return Unavailable
    return UnreadableAnswer if status < HTTPStatus.BAD_REQUEST else None


def _leaf_of_status(
    status: int, call: str, not_found: type[AtlasError], payload: object
) -> type[AtlasError]:
    if status == HTTPStatus.NOT_FOUND:
        return not_found
    if call.startswith("DELETE ") and status == HTTPStatus.METHOD_NOT_ALLOWED:
        # Atlas's error repeats the status. That of a proxy says nothing about the job.
        is_of_atlas = isinstance(payload, Mapping) and payload.get("error") == status
        return NotCancellable if is_of_atlas else OtherRefusal
    return _BY_STATUS.get(status, OtherRefusal)


def build_error(
    leaf: type[AtlasError], status: int, headers: Mapping[str, str], payload: object, call: str
) -> AtlasError:
    """Build the error; the sentences of some have a fact of the response."""
    fields = payload if isinstance(payload, Mapping) else {}
    code, detail = code_of(headers, payload), cleaned(fields.get("detail"))
    listed = fields.get("parameters")
    parameters = listed[:20] if isinstance(listed, list) else []
    retry_after = _retry_after(headers.get("Retry-After"), code, parameters)
    if leaf is Maintenance:
        retry_after = max(retry_after or 0.0, MAINTENANCE_PAUSE)
    sentence = None
    if leaf is NotOnAccessList and (address := _address(parameters, detail)):
        sentence = f"The bot's key may not be used from {address}: add that to its access list."
    if leaf is OtherRefusal:
        why = f"{code}, status {status}" if code else f"status {status}"
        sentence = f"Atlas, or a proxy before it, refused what was asked ({why})."
    if code is None and (advice := _ADVICE_WITHOUT_CODE.get(status)):
        sentence = f"Atlas, or a proxy before it, answered with status {status}: {advice}"
    is_open = issubclass(leaf, AtlasUnavailable)
    is_executed_never = leaf in {RateLimited, Maintenance, NotFoundToCancel}
    may_be_executed = is_open and not is_executed_never and call.startswith("DELETE ")
    return leaf(
        sentence,
        status=status,
        code=code,
        detail=detail,
        call=call,
        retry_after=retry_after if is_open else None,
        may_have_taken_effect=may_be_executed,
    )


def code_of(headers: Mapping[str, str], payload: object) -> str | None:
    fields = payload if isinstance(payload, Mapping) else {}
    given = (fields.get("errorCode"), headers.get("X-Error-Code"))
    return next((code for code in given if isinstance(code, str) and _CODE.fullmatch(code)), None)


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
    header: str | None, code: str | None, parameters: Sequence[object]
) -> float | None:
    """Return the seconds to wait, from the header or the token bucket's error."""
    header = (header or "").strip()
    if _SECONDS.fullmatch(header):
        return float(header)
    if code == "RATE_LIMITED_TOKEN_BUCKET" and len(parameters) > 1:
        seconds = parameters[1]
        return float(seconds) if isinstance(seconds, int) and 0 <= seconds <= 10**6 else None
    return None


def _address(parameters: Sequence[object], detail: str) -> str | None:
    """Return the client's address, from the parameters or else the explanation."""
    words = [item for item in parameters if isinstance(item, str)]
    for word in [*words, *_ADDRESS.findall(detail)]:
        try:
            return str(ipaddress.ip_address(word.strip(".")))
        except ValueError:
            continue
    return None
