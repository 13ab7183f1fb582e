"""Every statement about requests and their record, named, with a sentence each.

To build a statement costs as much as to run it: those of every cancellation are built once, and
their values are given when they run.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
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

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import OPEN, State
from bot.storage.clock import has_passed
from bot.storage.queries import outbox as outbox_queries
from bot.storage.tables import approvals, audit_events, posts, requests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Delete, Insert, Select, Update
    from sqlalchemy.sql.elements import ColumnElement

    from bot.atlas import JobRef

#: Written out, not bound: a database uses a partial index only for a condition that it can read.
#: In the index's own order: SQLite compares the texts.
_OPEN: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in State if state in OPEN]
IS_OPEN = requests.c.state.in_(_OPEN)
HAS_ENDED = requests.c.state.not_in(_OPEN)


#: What names a job, as `JobRef` does.
_JOB = (requests.c.project_id, requests.c.cluster_name, requests.c.job_id)

#: No lease on a request is longer; see `has_passed`.
LONGEST_LEASE = timedelta(seconds=20)


def request_by_id(request_id: str) -> Select[Any]:
    """Read one request."""
    return select(requests).where(requests.c.id == request_id)


def locked_request(request_id: str) -> Select[Any]:
    """Read one request and keep others from changing it until the transaction ends."""
    return request_by_id(request_id).with_for_update()


def open_request_for(ref: JobRef) -> Select[Any]:
    """Find the open request for a job: there is at most one."""
    return select(requests).where(
        requests.c.project_id == ref.project_id,
        requests.c.cluster_name == ref.cluster_name,
        requests.c.job_id == ref.job_id,
        IS_OPEN,
    )


@cache
def made_or_open() -> Select[Any]:
    """Find what the submission `this` has made already, first, and the open request for a job."""
    is_this = requests.c.key == bindparam("this")
    is_open = and_(*(column == bindparam(column.name) for column in _JOB), IS_OPEN)
    return select(requests).where(or_(is_this, is_open)).order_by(is_this.desc())


def approvals_of(request_ids: Iterable[str]) -> Select[Any]:
    """Read who approved some requests, first yes first."""
    return (
        select(approvals)
        .where(approvals.c.request.in_(list(request_ids)))
        .order_by(approvals.c.at, approvals.c.user)
    )


def free_to_run(now: datetime) -> ColumnElement[bool]:
    """Approved and not taken yet, or taken by somebody whose lease has run out."""
    return or_(
        requests.c.state == State.APPROVED,
        and_(requests.c.state == State.CANCELLING, lease_is_over(now)),
    )


def lease_is_over(now: datetime) -> ColumnElement[bool]:
    """Only when the lease has run out, or is one that nobody can have: the clock was set back."""
    return has_passed(requests.c.lease_until, now, now + LONGEST_LEASE)


def requests_to_run(now: datetime, limit: int) -> Select[Any]:
    """List the requests that any replica may take, oldest first."""
    return (
        select(requests.c.id)
        .where(IS_OPEN, free_to_run(now))
        .order_by(requests.c.changed_at)
        .limit(limit)
    )


def requests_past_their_time(now: datetime, limit: int) -> Select[Any]:
    """List the requests that waited for approval long enough."""
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
def requests_among() -> Select[Any]:
    """Read the requests `ids`, as far as they were not forgotten."""
    return select(requests).where(requests.c.id.in_(bindparam("ids", expanding=True)))


def count_open_requests() -> Select[Any]:
    """Count the requests that have not ended."""
    return select(func.count()).select_from(requests).where(IS_OPEN)


@cache
def new_request() -> Insert:
    """Write a request down; the unique indexes refuse a second one for its key or its job."""
    return insert(requests)


def change_request(
    request_id: str,
    expected: Iterable[State],
    values: dict[str, Any],
    *conditions: ColumnElement[bool],
) -> Update:
    """Change a request only while it is in a state that the change expects."""
    return (
        update(requests)
        .where(requests.c.id == request_id, requests.c.state.in_(list(expected)), *conditions)
        .values(**values)
        .returning(requests)
    )


def claim_approved(request_id: str, owner: str, now: datetime, until: datetime) -> Update:
    """Take a request that nobody has taken yet."""
    values = {"changed_at": now, **_lease(owner, until)}
    return change_request(request_id, [State.APPROVED], values)


def claim_abandoned(request_id: str, owner: str, now: datetime, until: datetime) -> Update:
    """Take a request whose runner's lease has run out."""
    values = {"changed_at": now, **_lease(owner, until)}
    return change_request(request_id, [State.CANCELLING], values, lease_is_over(now))


def _lease(owner: str, until: datetime) -> dict[str, Any]:
    return {"state": State.CANCELLING, "lease_owner": owner, "lease_until": until}


def forget_acceptance(request_id: str) -> Update:
    """Make an accepted DELETE one of unknown effect, so that the next run may send another."""
    return (
        update(requests)
        .where(requests.c.id == request_id)
        .values(
            delete_unknown=or_(requests.c.delete_unknown, requests.c.delete_accepted),
            delete_accepted=false(),
        )
    )


def held_by(owner: str) -> ColumnElement[bool]:
    """Only for the runner that holds the request."""
    return requests.c.lease_owner == owner


def lease_runs(now: datetime) -> ColumnElement[bool]:
    """Only while the lease has not run out."""
    return requests.c.lease_until > now


def new_approval(request_id: str, user: str, at: datetime) -> Insert:
    """Note one person's yes."""
    return insert(approvals).values(request=request_id, user=user, at=at)


def locked_head(request_id: str) -> Select[Any]:
    """Read how far the request's record has come, and keep others from adding to it."""
    return (
        select(requests.c.id, requests.c.event_count, requests.c.head_hash)
        .where(requests.c.id == request_id)
        .with_for_update()
    )


@cache
def move_head() -> Update:
    """Note how far the record of the request `of` has come."""
    return update(requests).where(requests.c.id == bindparam("of"))


@cache
def new_events() -> Insert:
    """Add lines to the record."""
    return insert(audit_events)


def place_card(request_id: str, channel: str, ts: str) -> Update:
    """Note where the card stands."""
    return (
        update(requests).where(requests.c.id == request_id).values(card_channel=channel, card_ts=ts)
    )


def move_card(request_id: str, channel: str, because: str) -> Update:
    """Let the card go to another channel, and say why."""
    return (
        update(requests)
        .where(requests.c.id == request_id)
        .values(channel=channel, moved_because=because)
    )


def all_events(conditions: Iterable[ColumnElement[bool]] = ()) -> Select[Any]:
    """Read the record in the order in which it was written."""
    return select(audit_events).where(*conditions).order_by(audit_events.c.id)


def newest_creations(limit: int, before: int | None = None) -> Select[Any]:
    """Read who asked for what last: it is in the record when the requests are forgotten."""
    older = [audit_events.c.id < before] if before is not None else []
    return (
        select(audit_events)
        .where(audit_events.c.event == EventName.CREATED, *older)
        .order_by(audit_events.c.id.desc())
        .limit(limit)
    )


def events_among(request_ids: Iterable[str]) -> Select[Any]:
    """Read the record of several requests, each in its own order."""
    return (
        select(audit_events)
        .where(audit_events.c.request.in_(list(request_ids)))
        .order_by(audit_events.c.request, audit_events.c.number)
    )


def count_events() -> Select[Any]:
    """Count the events of the whole record."""
    return select(func.count()).select_from(audit_events)


def chains() -> Select[Any]:
    """Read the record request by request, each in its own order."""
    return select(audit_events).order_by(audit_events.c.request, audit_events.c.number)


def heads() -> Select[Any]:
    """Read where the ledger says that each chain ends."""
    return select(requests.c.id, requests.c.event_count, requests.c.head_hash).order_by(
        requests.c.id
    )


def prune_requests(before: datetime) -> Delete:
    """Forget requests that ended long ago and have nothing left to post; the record stays."""
    unsent = exists().where(posts.c.request == requests.c.id, posts.c.state == outbox_queries.DUE)
    return delete(requests).where(requests.c.changed_at < before, HAS_ENDED, ~unsent)
