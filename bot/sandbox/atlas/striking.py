"""What faults do to an answer: pure functions from a fault and an answer to another answer."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from bot.sandbox.atlas.answers import Answer, from_error, unauthorized
from bot.sandbox.atlas.asks import find
from bot.sandbox.atlas.errors import AtlasError, ErrorKind
from bot.sandbox.atlas.faults import Fault, Kind
from bot.sandbox.atlas.gates import too_many
from bot.sandbox.atlas.limits import Rate

if TYPE_CHECKING:
    from bot.sandbox.atlas.asks import Ask
    from bot.sandbox.atlas.behaviour import Behaviour

HTML = b"<!DOCTYPE html>\n<html><head><title>Atlas</title></head><body>One moment</body></html>\n"
OTHER_SHAPE = b'["not", "what", "was", "asked", "for"]'


def strike(fault: Fault, answer: Answer, ask: Ask, behaviour: Behaviour, challenge: str) -> Answer:
    """Return what `fault` makes of an answer; kinds that leave answers alone return it as it is."""
    match fault.kind:
        case Kind.STATUS:
            return _status(fault, ask, behaviour)
        case Kind.ERROR:
            return from_error(_error(fault, ask))
        case Kind.REFUSE_KEY:
            return unauthorized(challenge, with_code=behaviour.auth_error_code)
        case Kind.ODD_CHALLENGE:
            return unauthorized(fault.challenge, with_code=behaviour.auth_error_code)
        case _:
            return _garble(fault.kind, answer)


def _garble(kind: Kind, answer: Answer) -> Answer:
    body = answer.body or b'{"links":[]}'
    match kind:
        case Kind.HTML:
            return Answer(status=200, raw=HTML, media="text/html;charset=utf-8")
        case Kind.TRUNCATED:
            return replace(answer, status=200, raw=body[: len(body) // 2])
        case Kind.WRONG_SHAPE:
            return replace(answer, status=200, raw=OTHER_SHAPE)
        case Kind.EMPTY:
            return replace(answer, status=200, raw=b"")
        case Kind.CUT_BODY:
            return replace(answer, status=200, raw=body, cut=True)
        case _:
            return answer


def _status(fault: Fault, ask: Ask, behaviour: Behaviour) -> Answer:
    """Atlas words 429, 500 and 503 itself; every other status comes from a gateway before it."""
    retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    match fault.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            rate = Rate(behaviour.rate_capacity, behaviour.rate_refill, behaviour.rate_seconds)
            answer = from_error(too_many(ask, rate, fault.retry_after or 1))
            kept = {k: v for k, v in answer.headers.items() if k != "Retry-After"}
            return replace(answer, headers={**kept, **retry})
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return from_error(AtlasError("UNEXPECTED_ERROR", headers=retry))
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return from_error(AtlasError("SERVICE_UNAVAILABLE", headers=retry))
        case status:
            page = f"<html><body>{status} {HTTPStatus(status).phrase}</body></html>".encode()
            return Answer(status=status, raw=page, media="text/html", headers=retry)


def _error(fault: Fault, ask: Ask) -> AtlasError:
    """The documented error with the request's own values, or the fault's."""
    found = find(ask)
    values = {"path": ask.path, "address": ask.address, **(found[1] if found else {})}
    retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if not fault.code:
        nameless = ErrorKind(fault.status, "", "Something is not right.")
        return AtlasError(nameless, headers=retry)
    status = fault.status if "status" in fault.model_fields_set else None
    return AtlasError(fault.code, {**values, **fault.values}, status=status, headers=retry)
