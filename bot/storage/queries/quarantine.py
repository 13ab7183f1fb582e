"""The SQL statements of quarantine: reads first, then writes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Update, and_, exists, func, or_, select, update

from bot.cancellation.lifecycle import State
from bot.storage.queries.requests import IS_BY_BOT, IS_OPEN
from bot.storage.tables import approvals, requests, watch_leases

_IS_QUARANTINED = requests.c.state == State.QUARANTINED

#: Whether an approver let the request run by a click.
_BY_PERSON = exists().where(approvals.c.request == requests.c.id, approvals.c.voided_at.is_(None))

#: Whether a DELETE was sent, or is about to be.
_IS_CANCELLED = or_(
    requests.c.state.in_([State.APPROVED, State.CANCELLING]), requests.c.delete_count > 0
)


def lock_project(project_id: str) -> Select[Any]:
    """Lock the project's watch, under which its limit is counted."""
    return (
        select(watch_leases.c.project_id)
        .where(watch_leases.c.project_id == project_id)
        .with_for_update()
    )


def _count(project_id: str, *conditions: Any) -> Select[Any]:  # noqa: ANN401 - SQL conditions
    own = (IS_BY_BOT, requests.c.project_id == project_id, ~_BY_PERSON)
    return select(func.count()).select_from(requests).where(*own, *conditions)


def count_quarantined(project_id: str, since: datetime) -> Select[Any]:
    """Count the downloads that were quarantined, without those that were kept or ended."""
    ended = and_(requests.c.state.in_([State.KEPT, State.OVER]), requests.c.delete_count == 0)
    recent = or_(_IS_QUARANTINED, requests.c.changed_at > since)
    return _count(project_id, ~ended, recent)


def count_cancelled(project_id: str, since: datetime) -> Select[Any]:
    """Count the downloads that the bot itself cancelled."""
    return _count(project_id, _IS_CANCELLED, requests.c.changed_at > since)


def quarantined_requests(limit: int) -> Select[Any]:
    """List the requests that can be kept, oldest first."""
    return (
        select(requests)
        .where(IS_OPEN, _IS_QUARANTINED)
        .order_by(requests.c.created_at)
        .limit(limit)
    )


def mark_seen(request_ids: Iterable[str], now: datetime) -> Update:
    """Record that Slack answers, and so shows these cards."""
    return (
        update(requests)
        .where(requests.c.id.in_(list(request_ids)), _IS_QUARANTINED)
        .values(seen_at=now)
    )


def set_grace(request_id: str, ends_at: datetime) -> Update:
    """Set until when a request can be kept."""
    return (
        update(requests)
        .where(requests.c.id == request_id, _IS_QUARANTINED)
        .values(grace_ends_at=ends_at)
        .returning(requests)
    )
