"""Statements about requests, their approvals and their audit events.

Building a statement costs as much as running it, so those of every cancellation are cached, and
take their values as parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Delete,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.atlas import JobRef
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import OPEN, State
from bot.storage.database import has_passed
from bot.storage.queries import outbox as outbox_queries
from bot.storage.tables import approvals, audit_events, posts, requests

#: Literals, not parameters, in the order of the partial index: otherwise SQLite does not use it.
_OPEN: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in State if state in OPEN]
IS_OPEN = requests.c.state.in_(_OPEN)
HAS_ENDED = requests.c.state.not_in(_OPEN)

#: The columns of a `JobRef`.
_JOB = (requests.c.project_id, requests.c.cluster_name, requests.c.job_id)

#: More than any lease of a request; see `has_passed`.
LONGEST_LEASE = timedelta(seconds=20)


def request_by_id(request_id: str) -> Select[Any]:
    """Read one request."""
    return select(requests).where(requests.c.id == request_id)


def lock_request(request_id: str) -> Select[Any]:
    """Read one request and lock it until the transaction ends."""
    return request_by_id(request_id).with_for_update()


def open_request_for(ref: JobRef) -> Select[Any]:
    """Read the open request for a job: there is at most one."""
    return select(requests).where(
        requests.c.project_id == ref.project_id,
        requests.c.cluster_name == ref.cluster_name,
        requests.c.job_id == ref.job_id,
        IS_OPEN,
    )


@cache
def same_key_or_open() -> Select[Any]:
    """Read the request with this idempotency key, first, and the open request for the job."""
    has_key = requests.c.key == bindparam("idempotency_key")
    is_open = and_(*(column == bindparam(column.name) for column in _JOB), IS_OPEN)
    return select(requests).where(or_(has_key, is_open)).order_by(has_key.desc())


def approvals_of(request_ids: Iterable[str]) -> Select[Any]:
    """Read the approvals of some requests, oldest first."""
    return (
        select(approvals)
        .where(approvals.c.request.in_(list(request_ids)))
        .order_by(approvals.c.at, approvals.c.user)
    )


def is_runnable(now: datetime) -> ColumnElement[bool]:
    """Condition: approved, or claimed with a lease that has expired."""
    return or_(
        requests.c.state == State.APPROVED,
        and_(requests.c.state == State.CANCELLING, lease_has_expired(now)),
    )


def lease_has_expired(now: datetime) -> ColumnElement[bool]:
    """Condition: the lease has expired, or was taken before the clock was set back."""
    return has_passed(requests.c.lease_until, now, now + LONGEST_LEASE)


def runnable_requests(now: datetime, limit: int) -> Select[Any]:
    """List the requests that any replica may claim, oldest first."""
    return (
        select(requests.c.id)
        .where(IS_OPEN, is_runnable(now))
        .order_by(requests.c.changed_at)
        .limit(limit)
    )


def expired_requests(now: datetime, limit: int) -> Select[Any]:
    """List the requests that were not approved in time."""
    return (
        select(requests.c.id)
        .where(IS_OPEN, requests.c.state == State.AWAITING, requests.c.expires_at <= now)
        .limit(limit)
    )


def requests_awaiting(now: datetime, limit: int) -> Select[Any]:
    """List the requests that may still be approved, oldest first."""
    return (
        select(requests)
        .where(IS_OPEN, requests.c.state == State.AWAITING, requests.c.expires_at > now)
        .order_by(requests.c.created_at)
        .limit(limit)
    )


@cache
def requests_by_ids() -> Select[Any]:
    """Read the requests with these ids that were not pruned."""
    return select(requests).where(requests.c.id.in_(bindparam("ids", expanding=True)))


def count_open_requests() -> Select[Any]:
    """Count the requests that have not ended."""
    return select(func.count()).select_from(requests).where(IS_OPEN)


@cache
def new_request() -> Insert:
    """Insert a request; unique indexes refuse a second one for its key or its job."""
    return insert(requests)


def change_request(
    request_id: str,
    expected: Iterable[State],
    values: dict[str, Any],
    *conditions: ColumnElement[bool],
) -> Update:
    """Update a request only while it is in an expected state."""
    return (
        update(requests)
        .where(requests.c.id == request_id, requests.c.state.in_(list(expected)), *conditions)
        .values(**values)
        .returning(requests)
    )


def claim_approved(request_id: str, owner: str, now: datetime, until: datetime) -> Update:
    """Claim a request that is not claimed."""
    values = {"changed_at": now, **_lease(owner, until)}
    return change_request(request_id, [State.APPROVED], values)


def claim_expired(request_id: str, owner: str, now: datetime, until: datetime) -> Update:
    """Claim a request whose lease has expired."""
    values = {"changed_at": now, **_lease(owner, until)}
    return change_request(request_id, [State.CANCELLING], values, lease_has_expired(now))


def _lease(owner: str, until: datetime) -> dict[str, Any]:
    return {"state": State.CANCELLING, "lease_owner": owner, "lease_until": until}


def mark_acceptance_unknown(request_id: str) -> Update:
    """Turn an accepted DELETE into one of unknown effect, so that the next run may send another."""
    return (
        update(requests)
        .where(requests.c.id == request_id)
        .values(
            delete_unknown=or_(requests.c.delete_unknown, requests.c.delete_accepted),
            delete_accepted=false(),
        )
    )


def held_by(owner: str) -> ColumnElement[bool]:
    """Condition: this runner has the lease."""
    return requests.c.lease_owner == owner


def lease_is_valid(now: datetime) -> ColumnElement[bool]:
    """Condition: the lease has not expired."""
    return requests.c.lease_until > now


def new_approval(request_id: str, user: str, at: datetime) -> Insert:
    """Insert one person's approval."""
    return insert(approvals).values(request=request_id, user=user, at=at)


def lock_head(request_id: str) -> Select[Any]:
    """Read the head of a request's chain, and lock it."""
    return (
        select(requests.c.id, requests.c.event_count, requests.c.head_hash)
        .where(requests.c.id == request_id)
        .with_for_update()
    )


@cache
def update_head() -> Update:
    """Store the head of a request's chain."""
    return update(requests).where(requests.c.id == bindparam("request_id"))


@cache
def new_events() -> Insert:
    """Insert audit events."""
    return insert(audit_events)


def place_card(request_id: str, channel: str, ts: str) -> Update:
    """Store the position of the card."""
    return (
        update(requests).where(requests.c.id == request_id).values(card_channel=channel, card_ts=ts)
    )


def move_card(request_id: str, channel: str, because: str) -> Update:
    """Send the card to another channel, with the reason."""
    return (
        update(requests)
        .where(requests.c.id == request_id)
        .values(channel=channel, moved_because=because)
    )


def all_events(conditions: Iterable[ColumnElement[bool]] = ()) -> Select[Any]:
    """Read audit events in the order in which they were written."""
    return select(audit_events).where(*conditions).order_by(audit_events.c.id)


def newest_creations(limit: int, before: int | None = None) -> Select[Any]:
    """Read the newest `request:created` events: they outlive the requests."""
    older = [audit_events.c.id < before] if before is not None else []
    return (
        select(audit_events)
        .where(audit_events.c.event == EventName.CREATED, *older)
        .order_by(audit_events.c.id.desc())
        .limit(limit)
    )


def events_of(request_ids: Iterable[str]) -> Select[Any]:
    """Read the audit events of several requests, each in order."""
    return (
        select(audit_events)
        .where(audit_events.c.request.in_(list(request_ids)))
        .order_by(audit_events.c.request, audit_events.c.number)
    )


def count_events() -> Select[Any]:
    """Count all audit events."""
    return select(func.count()).select_from(audit_events)


def all_chains() -> Select[Any]:
    """Read all audit events request by request, each in order."""
    return select(audit_events).order_by(audit_events.c.request, audit_events.c.number)


def chain_heads() -> Select[Any]:
    """Read the stored head of each chain."""
    return select(requests.c.id, requests.c.event_count, requests.c.head_hash).order_by(
        requests.c.id
    )


def prune_requests(before: datetime) -> Delete:
    """Delete requests that ended before then and have no unsent posts; their events stay."""
    unsent = exists().where(posts.c.request == requests.c.id, posts.c.state == outbox_queries.DUE)
    return delete(requests).where(requests.c.changed_at < before, HAS_ENDED, ~unsent)
