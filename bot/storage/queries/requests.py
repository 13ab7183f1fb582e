"""Statements about requests, their approvals and their audit events.

Building a statement costs as much as running it, so those of every cancellation are constants, and
take their values as parameters.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Delete,
    Select,
    Table,
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
    text,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.atlas import JobRef
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import OPEN, UNDECIDED, Request, State
from bot.storage.database import has_passed
from bot.storage.queries import outbox as outbox_queries
from bot.storage.tables import (
    BY_BOT,
    JOB,
    NOTICE_PLANNED,
    UNREVIEWED,
    approvals,
    audit_events,
    chain_head,
    posts,
    requests,
)

#: Literals, not parameters, in the order of the partial index: otherwise SQLite does not use it.
_OPEN: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in State if state in OPEN]
IS_OPEN = requests.c.state.in_(_OPEN)
HAS_ENDED = requests.c.state.not_in(_OPEN)

#: As literal text, for the same reason.
IS_UNREVIEWED = text(UNREVIEWED)

COUNT_OPEN = select(func.count()).select_from(requests).where(IS_OPEN)
IS_BY_BOT = text(BY_BOT)

COUNT_UNREVIEWED = select(func.count()).select_from(requests).where(IS_UNREVIEWED)

#: More than any lease of a request; see `has_passed`.
LONGEST_LEASE = timedelta(seconds=20)


def is_job(table: Table, ref: JobRef) -> ColumnElement[bool]:
    """Condition: the row is of this job."""
    return and_(*(table.c[name] == getattr(ref, name) for name in JOB))


def request_by_id(request_id: str) -> Select[Any]:
    """Read one request."""
    return select(requests).where(requests.c.id == request_id)


def open_request_for(ref: JobRef) -> Select[Any]:
    """Read the open request for a job: there is at most one."""
    return select(requests).where(is_job(requests, ref), IS_OPEN)


def newest_request_for(ref: JobRef) -> Select[Any]:
    """Read the last request for a job, whether it has ended or not."""
    newest = requests.c.created_at.desc()
    return select(requests).where(is_job(requests, ref)).order_by(newest).limit(1)


def lock_waiting_request_for(ref: JobRef) -> Select[Any]:
    """Read and lock the request for a job that waits for a decision of people."""
    return open_request_for(ref).where(requests.c.state.in_(UNDECIDED)).with_for_update()


_HAS_KEY = requests.c.key == bindparam("idempotency_key")
_IS_OPEN_FOR_JOB = and_(*(requests.c[name] == bindparam(name) for name in JOB), IS_OPEN)

#: Reads the request with this idempotency key, first, and the open request for the job.
SAME_KEY_OR_OPEN = select(requests).where(or_(_HAS_KEY, _IS_OPEN_FOR_JOB)).order_by(_HAS_KEY.desc())


def approvals_of(request_ids: Iterable[str]) -> Select[Any]:
    """Read the approvals of some requests, oldest first."""
    return (
        select(approvals)
        .where(approvals.c.request.in_(list(request_ids)))
        .order_by(approvals.c.at, approvals.c.user)
    )


def lease_has_expired(now: datetime) -> ColumnElement[bool]:
    """Condition: the lease has expired, or was taken before the clock was set back."""
    return has_passed(requests.c.lease_until, now, now + LONGEST_LEASE)


def runnable_requests(now: datetime, limit: int) -> Select[Any]:
    """List the approved requests, and those whose lease has expired, oldest first."""
    is_left = and_(requests.c.state == State.CANCELLING, lease_has_expired(now))
    return (
        select(requests.c.id)
        .where(IS_OPEN, or_(requests.c.state == State.APPROVED, is_left))
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


def requests_awaiting(
    now: datetime, limit: int, states: Iterable[State] = (State.AWAITING,)
) -> Select[Any]:
    """List the requests that wait for people in one of these states, oldest first."""
    undecided = requests.c.state.in_(list(states))
    in_time = or_(requests.c.state != State.AWAITING, requests.c.expires_at > now)
    return (
        select(requests)
        .where(IS_OPEN, undecided, in_time)
        .order_by(requests.c.created_at)
        .limit(limit)
    )


def requests_to_notify(now: datetime, limit: int) -> Select[Any]:
    """List the waiting requests whose approvers are to be told now."""
    due = (requests.c.next_notice_at <= now, requests.c.expires_at > now)
    return (
        select(requests)
        .where(text(NOTICE_PLANNED), *due)
        .order_by(requests.c.next_notice_at)
        .limit(limit)
    )


def advance_notice(request: Request, now: datetime, next_at: datetime | None) -> Update:
    """Plan the next notice of a waiting request, if this one is still due."""
    is_due = requests.c.next_notice_at == request.next_notice_at
    is_open = requests.c.expires_at > now
    return change_request(request.id, State.AWAITING, is_due, is_open, next_notice_at=next_at)


#: Reads the requests with these ids that were not pruned.
REQUESTS_BY_IDS = select(requests).where(requests.c.id.in_(bindparam("ids", expanding=True)))


#: Inserts a request; unique indexes refuse a second one for its key or its job.
NEW_REQUEST = insert(requests)

NEW_EVENTS = insert(audit_events)

CHAIN_HEAD = select(chain_head.c.reference)

#: Transactions that write events wait for each other from here to their commits.
LOCK_CHAIN_HEAD = CHAIN_HEAD.with_for_update()

UPDATE_CHAIN_HEAD = update(chain_head)


def update_request(request_id: str, **values: object) -> Update:
    """Update a request in any state."""
    return update(requests).where(requests.c.id == request_id).values(**values)


def change_request(
    request_id: str, expected: State, *conditions: ColumnElement[bool], **values: object
) -> Update:
    """Update a request only while it is in the expected state, and return its row."""
    changed = update_request(request_id, **values)
    return changed.where(requests.c.state == expected, *conditions).returning(requests)


def run_again(request_id: str, needed: int, expires_at: datetime) -> Update:
    """Prepare another run: an accepted DELETE becomes one of unknown effect.

    A person decided again, so another DELETE may be sent; the earlier one may still work.
    """
    return update_request(
        request_id,
        approvals_needed=needed,
        expires_at=expires_at,
        delete_unknown=or_(requests.c.delete_unknown, requests.c.delete_accepted),
        delete_accepted=false(),
    )


def unreviewed_requests(limit: int) -> Select[Any]:
    """List the requests that ran without approval and were not reviewed, oldest first."""
    return select(requests).where(IS_UNREVIEWED).order_by(requests.c.created_at).limit(limit)


NEW_APPROVAL = insert(approvals)


def delete_approvals(request_id: str, *users: str) -> Delete:
    """Delete the approvals of these users, or all."""
    of_users = [approvals.c.user.in_(users)] if users else []
    return delete(approvals).where(approvals.c.request == request_id, *of_users)


def void_approval(request_id: str, user: str, at: datetime) -> Update:
    """Mark an approval as one that no longer counts."""
    return (
        update(approvals)
        .where(approvals.c.request == request_id, approvals.c.user == user)
        .values(voided_at=at)
    )


def lock_event_count(request_id: str) -> Select[Any]:
    """Read the number of a request's events, and lock its row."""
    return select(requests.c.event_count).where(requests.c.id == request_id).with_for_update()


#: Stores the number of a request's events.
UPDATE_EVENT_COUNT = update(requests).where(requests.c.id == bindparam("request_id"))


def newest_creations(limit: int, before: int | None = None) -> Select[Any]:
    """Read the newest `request:created` events: they outlive the requests."""
    older = [audit_events.c.id < before] if before is not None else []
    return (
        select(audit_events)
        .where(audit_events.c.event == EventName.CREATED, *older)
        .order_by(audit_events.c.id.desc())
        .limit(limit)
    )


def events_of(request_ids: Iterable[str] | None) -> Select[Any]:
    """Read the audit events of some requests, or of all, request by request and in order."""
    chosen = [] if request_ids is None else [audit_events.c.request.in_(list(request_ids))]
    return (
        select(audit_events).where(*chosen).order_by(audit_events.c.request, audit_events.c.number)
    )


def lock_prunable(before: datetime, limit: int) -> Select[Any]:
    """Lock requests that ended before then, without those to review and with unsent posts."""
    reviewed = or_(~requests.c.acted_alone, requests.c.reviewed_by.is_not(None))
    unsent = exists().where(posts.c.request == requests.c.id, posts.c.state == outbox_queries.DUE)
    return (
        select(requests)
        .where(requests.c.changed_at < before, HAS_ENDED, ~unsent, reviewed)
        .limit(limit)
        .with_for_update(of=requests, skip_locked=True)
    )


def delete_requests(request_ids: Iterable[str]) -> Delete:
    """Delete requests; their events stay."""
    return delete(requests).where(requests.c.id.in_(list(request_ids)))
