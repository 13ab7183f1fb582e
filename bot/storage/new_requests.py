"""Writes new requests within the transactions of the stores."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bot.cancellation.errors import JobAlreadyRequested
from bot.cancellation.events import EventName
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.posts import PostKind
from bot.cancellation.quarantine import SUPERSEDED
from bot.storage.job_facts_rows import ensure_facts
from bot.storage.queries import requests as request_queries
from bot.storage.tables import shown_to_json
from bot.storage.unit_of_work import UnitOfWork

#: Why a new request is approved.
ACTED_ALONE = "the requester acted alone"
NO_APPROVAL_NEEDED = "no approval was needed"


def find_or_create(
    uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
) -> Request:
    """Add a person's request; return the earlier one if its key exists already.

    Raises:
        JobAlreadyRequested: another open request is for the same job.
    """
    key_and_job = {"idempotency_key": request.key, **asdict(request.ref)}
    if earlier := uow.get_or_none(request_queries.SAME_KEY_OR_OPEN, key_and_job):
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
    detail = _created_detail(request) | _facts_of(uow, request).audit_detail()
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


def _facts_of(uow: UnitOfWork, request: Request) -> JobFacts:
    shown = request.shown
    return ensure_facts(uow, request.ref, shown.expires_at if shown.link_is_live else None)
