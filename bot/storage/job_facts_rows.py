"""Reads and writes the facts about jobs within the transactions of the stores."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from bot.atlas import JobRef, JobState, created_at
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.link_clock import LinkClock, LinkPhase, expected_wait
from bot.cancellation.starter import StartedBy
from bot.storage.queries import job_facts as queries
from bot.storage.unit_of_work import UnitOfWork


def get_facts(uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, JobFacts]:
    """Read the facts about jobs; those that are not known are left out."""
    rows = uow.execute(queries.facts_of(refs)).all() if refs else []
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
    if not uow.execute(queries.update_facts(ref, values)).rowcount:
        uow.execute(queries.new_facts(ref, values))


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
    observed = uow.execute(queries.observed_links(project_id)).all()
    return expected_wait([row.live_since - created_at(row.job_id) for row in observed])


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
