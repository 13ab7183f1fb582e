"""Writes new requests within the transactions of the stores."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, bindparam, or_, select

from bot.cancellation.errors import JobAlreadyRequested
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.posts import PostKind
from bot.cancellation.quarantine import SUPERSEDED
from bot.storage import queries
from bot.storage.job_facts import ensure_facts
from bot.storage.tables import JOB, requests, shown_to_json
from bot.storage.unit_of_work import UnitOfWork

#: Why a new request is approved.
ACTED_ALONE = "the requester acted alone"
NO_APPROVAL_NEEDED = "no approval was needed"

_HAS_KEY = requests.c.key == bindparam("idempotency_key")
_IS_OPEN_FOR_JOB = and_(*(requests.c[name] == bindparam(name) for name in JOB), queries.IS_OPEN)

#: Reads the request with this idempotency key, first, and the open request for the job.
SAME_KEY_OR_OPEN = select(requests).where(or_(_HAS_KEY, _IS_OPEN_FOR_JOB)).order_by(_HAS_KEY.desc())


def find_or_create(
    uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
) -> Request:
    """Add a person's request, or return the earlier one with its key; see `RequestStore.create`."""
    key_and_job = {"idempotency_key": request.key, **asdict(request.ref)}
    if earlier := uow.get_or_none(SAME_KEY_OR_OPEN, key_and_job):
        if earlier.key == request.key:
            return earlier
        _supersede(uow, earlier, request, person)
    add_request(uow, request, person)
    if request.acted_alone:
        _record_acted_alone(uow, request, person, recipients)
    if request.state is State.APPROVED:
        because = ACTED_ALONE if request.acted_alone else NO_APPROVAL_NEEDED
        uow.record(request, EventName.APPROVED, detail={"because": because})
    return request


def add_request(uow: UnitOfWork, request: Request, person: Person | None) -> None:
    """Add a new request with its first event and its card; `person` is None for the bot."""
    uow.add(request)
    expires_at = request.shown.expires_at if request.shown.link_is_live else None
    facts = ensure_facts(uow, request.ref, expires_at)
    detail = _created_detail(request) | facts.audit_detail()
    created = uow.record(request, EventName.CREATED, actor=person, detail=detail)
    uow.enqueue_message(request, PostKind.CARD, created)


def _supersede(uow: UnitOfWork, earlier: Request, request: Request, person: Person) -> None:
    """End a quarantine, for a person's request that runs at once; otherwise refuse that one.

    A request that waits for approvals would let a quarantined download go on.
    """
    if earlier.state is not State.QUARANTINED or request.state is not State.APPROVED:
        raise JobAlreadyRequested(earlier)
    outcome = Outcome(sentence=SUPERSEDED.format(request=request.id), by=person.id)
    uow.transition(earlier, State.QUARANTINED, State.OVER, actor=person, outcome=outcome)


def _record_acted_alone(
    uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
) -> None:
    """Record that a request runs without approval; tell its thread and each recipient."""
    event = uow.record(request, EventName.ACTED_ALONE, actor=person)
    uow.enqueue_message(request, PostKind.REPLY, event)
    for user in recipients:
        uow.enqueue_message(request, PostKind.DIRECT, event, recipient=user)


def _created_detail(request: Request) -> dict[str, Any]:
    """Return the detail of `request:created`: ids, what was shown, and the reason."""
    return {
        "project": request.ref.project_id,
        "cluster": request.ref.cluster_name,
        "job": request.ref.job_id,
        "shown": shown_to_json(request.shown),
        "reason": request.reason,
        "approvals_needed": request.approvals_needed,
        "expires_at": request.expires_at.isoformat(),
        "state": request.state.value,
        "asked_in": request.asked_in,
        "channel": request.channel,
    }
