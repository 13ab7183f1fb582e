"""The SQL statements of the facts about jobs."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Insert, Select, Update, and_, exists, insert, or_, select, update

from bot.atlas import JobRef
from bot.cancellation.lifecycle import State
from bot.storage.queries import requests as request_queries
from bot.storage.queries import watch as watch_queries
from bot.storage.queries.requests import is_job
from bot.storage.tables import JOB, audit_events, job_facts, requests, watched_jobs

#: The newest observed links of a project that count.
MAX_OBSERVED = 50


def facts_of(refs: Collection[JobRef]) -> Select[Any]:
    """Select the facts about some jobs."""
    return select(job_facts).where(or_(*(is_job(job_facts, ref) for ref in refs)))


def observed_links(project_id: str) -> Select[Any]:
    """Select the newest links that were observed in a project."""
    return (
        select(job_facts.c.job_id, job_facts.c.live_since)
        .where(job_facts.c.project_id == project_id, job_facts.c.live_since.is_not(None))
        .order_by(job_facts.c.live_since.desc())
        .limit(MAX_OBSERVED)
    )


def known_jobs(project_id: str, first: str, last: str) -> Select[Any]:
    """Select the jobs of a project by their ids, which begin with the time."""
    return select(job_facts.c.job_id).where(
        job_facts.c.project_id == project_id, job_facts.c.job_id.between(first, last)
    )


def new_facts(ref: JobRef, values: dict[str, Any]) -> Insert:
    """Insert the facts about a job."""
    return insert(job_facts).values(**{name: getattr(ref, name) for name in JOB}, **values)


def update_facts(ref: JobRef, values: dict[str, Any]) -> Update:
    """Update the facts about a job."""
    return update(job_facts).where(is_job(job_facts, ref)).values(**values)


def jobs_of_waiting_requests(now: datetime, limit: int) -> Select[Any]:
    """Select the jobs of the requests that may still be approved."""
    waiting = request_queries.requests_awaiting(now, limit)
    return waiting.with_only_columns(*(requests.c[name] for name in JOB))


def announced_open_jobs(limit: int) -> Select[Any]:
    """Select the jobs whose announcements have a button, newest first."""
    return (
        select(*(watched_jobs.c[name] for name in JOB))
        .where(watch_queries.IS_OPEN, watched_jobs.c.version > 0)
        .order_by(watched_jobs.c.id.desc())
        .limit(limit)
    )


def waiting_request_for(ref: JobRef) -> Select[Any]:
    """Select and lock the request for a job that waits for approval."""
    waits = and_(is_job(requests, ref), request_queries.IS_OPEN)
    return select(requests).where(waits, requests.c.state == State.AWAITING).with_for_update()


def has_event(request_id: str, event: str) -> Select[Any]:
    """Select whether a request has an event."""
    found = exists().where(audit_events.c.request == request_id, audit_events.c.event == event)
    return select(found)
