"""Reads and writes the facts about jobs within the transactions of the stores."""

import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update

from bot.atlas import JobRef, JobState, created_at
from bot.cancellation.job_facts import JobFacts, LinkClock, LinkPhase, expected_wait
from bot.cancellation.starter import StartedBy
from bot.storage.queries.requests import is_job
from bot.storage.tables import job_facts
from bot.storage.unit_of_work import UnitOfWork

#: The newest observed links of a project that count.
MAX_OBSERVED = 50


def get_facts(uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, JobFacts]:
    """Read the facts about jobs; those that are not known are left out."""
    if not refs:
        return {}
    are_wanted = or_(*(is_job(job_facts, ref) for ref in refs))
    rows = uow.execute(select(job_facts).where(are_wanted)).all()
    found = [(JobRef(row.project_id, row.cluster_name, row.job_id), row) for row in rows]
    return {ref: _facts(ref, row) for ref, row in found}


def get_or_new(uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, JobFacts]:
    """Read the facts about jobs; those that are not known follow from the ids."""
    known = get_facts(uow, refs)
    waits = {id_: _wait(uow, id_) for id_ in {r.project_id for r in refs if r not in known}}
    return {
        ref: known.get(ref) or JobFacts.new(ref, waits[ref.project_id], uow.now) for ref in refs
    }


def save_facts(uow: UnitOfWork, ref: JobRef, facts: JobFacts) -> None:
    """Insert or update the facts about a job."""
    values = _values(facts, uow.now)
    known = update(job_facts).where(is_job(job_facts, ref)).values(**values)
    if not uow.execute(known).rowcount:
        uow.execute(insert(job_facts).values(**asdict(ref), **values))


def ensure_facts(
    uow: UnitOfWork,
    ref: JobRef,
    expires_at: datetime | None = None,
    ended: JobState | None = None,
) -> JobFacts:
    """Record what a read says about a job's link; return the facts."""
    known = get_facts(uow, [ref]).get(ref)
    facts = known or JobFacts.new(ref, _wait(uow, ref.project_id), uow.now)
    read = expires_at or ended
    updated = facts.with_link(expires_at, ended).at(uow.now) if read else facts
    if updated != known:
        save_facts(uow, ref, updated)
    return updated


def _wait(uow: UnitOfWork, project_id: str) -> Any:  # noqa: ANN401 - a timedelta
    """Return how long the project's jobs take to their links, by the newest that were observed."""
    are_observed = (job_facts.c.project_id == project_id, job_facts.c.live_since.is_not(None))
    links = select(job_facts.c.job_id, job_facts.c.live_since).where(*are_observed)
    newest = links.order_by(job_facts.c.live_since.desc()).limit(MAX_OBSERVED)
    return expected_wait([live - created_at(job_id) for job_id, live in uow.execute(newest)])


def _facts(ref: JobRef, row: Any) -> JobFacts:  # noqa: ANN401 - a database row
    clock = LinkClock(
        started_at=ref.started_at,
        expected_at=row.expected_at,
        live_since=row.live_since,
        until=row.until,
        ended=JobState(row.ended) if row.ended else None,
    )
    return JobFacts(
        clock=clock,
        phase=LinkPhase(row.phase),
        started_by=StartedBy.from_json(json.loads(row.started_by)),
        feed_link=row.feed_link,
    )


def _values(facts: JobFacts, now: datetime) -> dict[str, Any]:
    clock = facts.clock
    return {
        "expected_at": clock.expected_at,
        "live_since": clock.live_since,
        "until": clock.until,
        "ended": clock.ended,
        "phase": facts.phase,
        "started_by": json.dumps(facts.started_by.to_json()),
        "feed_link": facts.feed_link,
        "checked_at": now,
    }
