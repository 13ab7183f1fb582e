"""Statements that several stores share."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, and_, bindparam, exists, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from bot.atlas import JobRef
from bot.cancellation.events import Recorded
from bot.cancellation.job import ENDS
from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import CANCELS
from bot.storage.tables import (
    BY_BOT,
    JOB,
    JOB_IS_OPEN,
    OPEN,
    audit_events,
    chain_head,
    jobs,
    requests,
    watch_leases,
)

#: As literal text: databases use a partial index only for a condition without parameters.
IS_OPEN = text(OPEN)
CHAIN_HEAD = select(chain_head.c.reference)
#: The hashed columns of the audit events, and `id`: another may have any value.
RECORDED = select(audit_events.c.id, *(audit_events.c[name] for name in Recorded.__slots__))
#: Reads the audit events request by request and in order.
EVENTS = RECORDED.order_by(audit_events.c.request, audit_events.c.number)


def has_job(table: Table, ref: JobRef | None = None) -> ColumnElement[bool]:
    """Condition: the row is of this job, or of the one whose attributes are the parameters."""
    values = asdict(ref) if ref else {name: bindparam(name) for name in JOB}
    return and_(*(table.c[name] == value for name, value in values.items()))


def open_request_for(ref: JobRef | None = None) -> Select[Any]:
    """Read the open request for a job: there is at most one."""
    return select(requests).where(has_job(requests, ref), IS_OPEN)


def newest_request_for(ref: JobRef) -> Select[Any]:
    """Read the last request for a job, whether it has ended or not."""
    of_job = select(requests).where(has_job(requests, ref))
    return of_job.order_by(requests.c.created_at.desc()).limit(1)


#: Condition: the card goes on showing the link after the end of its request (see `card_lines`).
_FOLLOWS_LINK = or_(text(BY_BOT), requests.c.state == State.FAILED)
#: Condition: the download of a request has ended, as Atlas showed it.
DOWNLOAD_HAS_ENDED = exists().where(
    *(jobs.c[name] == requests.c[name] for name in JOB), jobs.c.state.in_(ENDS)
)
_OPEN_JOBS = select(jobs.c.job_id).where(text(JOB_IS_OPEN))
_OF_OPEN_JOB = select(requests).where(requests.c.job_id.in_(_OPEN_JOBS))
#: Reads the requests whose download is kept, while the watch sees the job open.
KEPT_AND_OPEN = _OF_OPEN_JOB.where(requests.c.state == State.KEPT)
#: Reads the bot's own requests that are over, while the watch sees the job open.
OVER_AND_OPEN = _OF_OPEN_JOB.where(requests.c.state == State.OVER, text(BY_BOT))
#: Reads the ended requests for a job whose cards go on showing its link.
FOLLOWED_CARDS = select(requests).where(has_job(requests), _FOLLOWS_LINK, text(f"NOT {OPEN}"))


def left_by_requests(project_id: str) -> Select[Any]:
    """List the new downloads whose requests kept them from quarantine, and end otherwise.

    Such a request was open when the watch first saw the job. None of the job cancels it.
    """
    in_project = (text(JOB_IS_OPEN), jobs.c.project_id == project_id)
    is_new = (jobs.c.version > 0, ~jobs.c.was_running, jobs.c.quarantine.is_(None))
    of_job = [jobs.c[name] == requests.c[name] for name in JOB]
    was_open = jobs.c.first_seen_at.between(requests.c.created_at, requests.c.changed_at)
    cancels = exists().where(*of_job, requests.c.state.in_(CANCELS))
    was_kept = exists().where(*of_job, was_open)
    return select(jobs).where(*in_project, *is_new, was_kept, ~cancels)


def failed_since(moment: datetime, limit: int) -> Select[Any]:
    """List the newest failed requests whose downloads may still go live."""
    failed = _OF_OPEN_JOB.where(requests.c.state == State.FAILED, requests.c.changed_at > moment)
    return failed.order_by(requests.c.changed_at.desc()).limit(limit)


def lock_project(execute: Callable[..., Any], project_id: str) -> None:
    """Let no other transaction count a watched project's quarantines until this one ends."""
    execute(select(watch_leases).where(watch_leases.c.project_id == project_id).with_for_update())


def requests_in(states: Iterable[State], now: datetime, limit: int) -> Select[Any]:
    """List the requests in these states, which are open, oldest first; expired ones are over."""
    in_time = or_(requests.c.state != State.AWAITING, requests.c.expires_at > now)
    waiting = select(requests).where(IS_OPEN, requests.c.state.in_(list(states)), in_time)
    return waiting.order_by(requests.c.created_at).limit(limit)


def to_recorded(row: Any) -> Recorded:  # noqa: ANN401 - a database row
    return Recorded(**{name: getattr(row, name) for name in Recorded.__slots__})
