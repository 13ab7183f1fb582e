"""The documented error responses that the bot can meet, by their codes.

The sentences are Atlas's, with names in place of values; those that were never recorded are
written for this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ErrorKind:
    """An error response: its status, its code (may be empty), its sentence with `{names}`."""

    status: int
    code: str
    detail: str

    @property
    def names(self) -> list[str]:
        """Return the values of the sentence in order; Atlas repeats them as `parameters`."""
        return [name for _, name, _, _ in Formatter().parse(self.detail) if name]


class AtlasError(Exception):
    """An error response, raised by the check that fails."""

    def __init__(
        self,
        code: str | ErrorKind,
        values: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = ERRORS[code] if isinstance(code, str) else code
        self.values = dict(values or {})
        self.headers = dict(headers or {})
        super().__init__(self.kind.code or self.kind.detail)

    def document(self) -> dict[str, object]:
        """Return the body: the five keys of every recorded error, in Atlas's order.

        Missing values are shown as a question mark.
        """
        found = {name: self.values.get(name, "?") for name in self.kind.names}
        code = {"errorCode": self.kind.code} if self.kind.code else {}
        return {
            "detail": self.kind.detail.format_map(found),
            "error": self.kind.status,
            **code,
            "parameters": list(found.values()),
            "reason": HTTPStatus(self.kind.status).phrase,
        }


_TABLE = (
    (400, "CANNOT_CANCEL_AUTOMATED_RESTORE", "Automated restore cannot be cancelled."),
    (
        400,
        "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API",
        "Flex cluster {cluster} cannot be used in the Cluster API.",
    ),
    (400, "INVALID_ENUM_VALUE", "The value of {attribute} is none of those allowed."),
    (400, "INVALID_PATH_PARAMETER", "Invalid path parameter {parameter} specified."),
    (400, "INVALID_QUERY_PARAMETER", "Invalid query parameter {parameter} specified."),
    (400, "VALIDATION_ERROR", "The restore job {job} is over and cannot be cancelled."),
    (401, "USER_UNAUTHORIZED", "Current user is not authorized to perform this action."),
    (
        403,
        "IP_ADDRESS_NOT_ON_ACCESS_LIST",
        "IP address {address} is not allowed to access this resource.",
    ),
    (403, "ORG_REQUIRES_ACCESS_LIST", "The organization asks for an API access list."),
    (404, "CLUSTER_NOT_FOUND", "No cluster named {cluster} exists in group {group}."),
    (404, "GROUP_NOT_FOUND", "No group with ID {group} exists."),
    (404, "INVALID_GROUP_ID", "An invalid group ID {group} was specified."),
    (404, "INVALID_JOB_ID", "An invalid restore job ID {job} was specified."),
    (404, "RESOURCE_NOT_FOUND", "Cannot find resource {path}."),
    (404, "RESTORE_JOB_NOT_FOUND", "No restore job with ID {job} exists for cluster {cluster}."),
    (
        405,
        "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED",
        "One shard's restore job cannot be cancelled; cancel the sharded cluster's job.",
    ),
    (
        405,
        "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES",
        "Nothing can be changed while Atlas itself is being upgraded.",
    ),
    (406, "INVALID_VERSION_DATE", "The Accept header names no version of this resource."),
    (
        429,
        "RATE_LIMITED",
        "Resource {path} is limited to {requests} requests every {minutes} minutes.",
    ),
    (
        429,
        "RATE_LIMITED_TOKEN_BUCKET",
        (
            "Rate limit exceeded for {path}. Please retry after {wait} seconds. "
            "Request capacity: {capacity}. Refill rate: {refill} per {seconds} seconds."
        ),
    ),
    (500, "UNEXPECTED_ERROR", "Unexpected error."),
    (503, "SERVICE_UNAVAILABLE", "The service is not available now."),
)

#: Responses whose code was never seen; they have none.
METHOD_NOT_ALLOWED = ErrorKind(405, "", "HTTP 405 Method Not Allowed")
NOT_ACCEPTABLE = ErrorKind(406, "", "HTTP 406 Not Acceptable")

#: The error responses by their codes.
ERRORS: dict[str, ErrorKind] = {row[1]: ErrorKind(*row) for row in _TABLE}
