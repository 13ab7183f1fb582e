"""Builds responses: document, media type, headers, envelope."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.sandbox.atlas.behaviour import Behaviour
    from bot.sandbox.atlas.errors import AtlasError

JSON = "application/json"

#: On every response of this program.
SANDBOX_HEADERS = {
    "Server": "mdbws",
    "X-Sandbox": "fake MongoDB Atlas; nothing here is real",
}


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """A status, a document (None: no body), its media type and its own headers.

    `raw` replaces the document with bytes that are no JSON; `cut` promises the whole body and
    ends the connection in its middle; `listing` is a page, whose envelope is the page itself.
    """

    status: int
    document: Mapping[str, object] | None = None
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    listing: bool = False
    pretty: bool = False
    raw: bytes | None = None
    cut: bool = False

    @property
    def body(self) -> bytes:
        """Return the bytes of the body: compact, or indented like Atlas's."""
        if self.raw is not None:
            return self.raw
        if self.document is None:
            return b""
        if self.pretty:
            return json.dumps(self.document, indent=2, separators=(",", " : ")).encode()
        return json.dumps(self.document, separators=(",", ":")).encode()

    def with_headers(self, headers: Mapping[str, str]) -> ApiResponse:
        return replace(self, headers={**self.headers, **headers})


def from_error(error: AtlasError) -> ApiResponse:
    """Return the response of an application error, with its code repeated in a header."""
    code = {"X-Error-Code": error.kind.code} if error.kind.code else {}
    return ApiResponse(
        status=error.kind.status, document=error.document(), headers={**error.headers, **code}
    )


def unauthorized(challenge: str) -> ApiResponse:
    """Return the response of the authenticating layer: indented, with its own order of keys."""
    status = HTTPStatus.UNAUTHORIZED
    document: dict[str, object] = {
        "error": int(status),
        "reason": status.phrase,
        "detail": "You are not authorized for this resource.",
        "errorCode": "UNEXPECTED_ERROR",
    }
    return ApiResponse(
        status=status, document=document, pretty=True, headers={"WWW-Authenticate": challenge}
    )


def enveloped(response: ApiResponse, behaviour: Behaviour) -> ApiResponse:
    """Move the status into the body, for clients that cannot read it."""
    if response.status == HTTPStatus.NO_CONTENT and behaviour.enveloped_delete == "bare":
        return response
    envelope: dict[str, object] = {"status": response.status}
    if response.listing:
        envelope |= response.document or {}
    elif response.document is not None:
        envelope[behaviour.envelope_key] = response.document
    return replace(response, status=HTTPStatus.OK, document=envelope)
