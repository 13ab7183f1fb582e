"""Applies a fault to a response; pure functions."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from bot.sandbox.atlas.api.limits import Rate
from bot.sandbox.atlas.api.pipeline import rate_limit_error
from bot.sandbox.atlas.api.request import find
from bot.sandbox.atlas.api.response import ApiResponse, from_error, unauthorized
from bot.sandbox.atlas.errors import AtlasError, ErrorKind
from bot.sandbox.atlas.faults import Fault, Kind

if TYPE_CHECKING:
    from bot.sandbox.atlas.api.request import ApiRequest
    from bot.sandbox.atlas.behaviour import Behaviour

HTML = b"<!DOCTYPE html>\n<html><head><title>Atlas</title></head><body>One moment</body></html>\n"
OTHER_SHAPE = b'["not", "what", "was", "asked", "for"]'


def apply_fault(
    fault: Fault, response: ApiResponse, request: ApiRequest, behaviour: Behaviour, challenge: str
) -> ApiResponse:
    """Return the response that `fault` leaves; some kinds do not change it."""
    match fault.kind:
        case Kind.STATUS:
            return _status(fault, request, behaviour)
        case Kind.ERROR:
            return from_error(_error(fault, request))
        case Kind.REFUSE_KEY:
            return unauthorized(challenge, with_code=behaviour.auth_error_code)
        case Kind.ODD_CHALLENGE:
            return unauthorized(fault.challenge, with_code=behaviour.auth_error_code)
        case _:
            return _garble(fault.kind, response)


def _garble(kind: Kind, response: ApiResponse) -> ApiResponse:
    body = response.body or b'{"links":[]}'
    # Where another fault of the same call refused it, a success would be untrue.
    status = response.status if response.status >= HTTPStatus.BAD_REQUEST else HTTPStatus.OK
    match kind:
        case Kind.HTML:
            return ApiResponse(status=status, raw=HTML, media="text/html;charset=utf-8")
        case Kind.TRUNCATED:
            return replace(response, status=status, raw=body[: len(body) // 2])
        case Kind.WRONG_SHAPE:
            return replace(response, status=status, raw=OTHER_SHAPE)
        case Kind.EMPTY:
            return replace(response, status=status, raw=b"")
        case Kind.CUT_BODY:
            return replace(response, status=status, raw=body, cut=True)
        case _:
            return response


def _status(fault: Fault, request: ApiRequest, behaviour: Behaviour) -> ApiResponse:
    """Return Atlas's own 429, 500 or 503, or a gateway's response for another status."""
    retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    match fault.status or HTTPStatus.INTERNAL_SERVER_ERROR:
        case HTTPStatus.TOO_MANY_REQUESTS:
            rate = Rate(behaviour.rate_capacity, behaviour.rate_refill, 60)
            response = from_error(rate_limit_error(request, rate, fault.retry_after or 1))
            kept = {k: v for k, v in response.headers.items() if k != "Retry-After"}
            return replace(response, headers={**kept, **retry})
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return from_error(AtlasError("UNEXPECTED_ERROR", headers=retry))
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return from_error(AtlasError("SERVICE_UNAVAILABLE", headers=retry))
        case status:
            page = f"<html><body>{status} {HTTPStatus(status).phrase}</body></html>".encode()
            return ApiResponse(status=status, raw=page, media="text/html", headers=retry)


def _error(fault: Fault, request: ApiRequest) -> AtlasError:
    """Return the documented error with the values of the request or of the fault."""
    found = find(request)
    values = {"path": request.path, "address": request.address, **(found[1] if found else {})}
    retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if not fault.code:
        nameless = ErrorKind(fault.status or 500, "", "Something is not right.")
        return AtlasError(nameless, headers=retry)
    return AtlasError(fault.code, {**values, **fault.values}, status=fault.status, headers=retry)
