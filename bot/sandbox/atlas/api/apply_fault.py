"""Applies a fault to a response; pure functions."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from bot.sandbox.atlas.api.pipeline import backups_rate, rate_limit_error
from bot.sandbox.atlas.api.request import find
from bot.sandbox.atlas.api.response import ApiResponse, from_error, unauthorized
from bot.sandbox.atlas.errors import AtlasError
from bot.sandbox.atlas.faults import Fault, Kind

if TYPE_CHECKING:
    from bot.sandbox.atlas.api.request import ApiRequest
    from bot.sandbox.atlas.behaviour import Behaviour

HTML = b"<!DOCTYPE html>\n<html><head><title>Atlas</title></head><body>One moment</body></html>\n"


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
            return unauthorized(challenge)
        case Kind.HTML:
            return ApiResponse(status=HTTPStatus.OK, raw=HTML, media="text/html;charset=utf-8")
        case Kind.CUT_BODY:
            return replace(response, raw=response.body or b'{"links":[]}', cut=True)
        case _:
            return response


def _status(fault: Fault, request: ApiRequest, behaviour: Behaviour) -> ApiResponse:
    """Return Atlas's own 429, 500 or 503, or a gateway's response for another status."""
    retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    match fault.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            response = from_error(
                rate_limit_error(request, backups_rate(behaviour), fault.retry_after or 1)
            )
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
    return AtlasError(fault.code, {**values, **fault.values})
