"""Writes the audit events of downloads, each once, in the transaction that changes the job."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import bindparam, exists, or_, select

from bot.atlas import JobRef, JobState
from bot.cancellation.events import JOB_PREFIX, Event, EventName
from bot.cancellation.job import Job, events_to_record
from bot.cancellation.lifecycle import JOB_FIELDS
from bot.cancellation.people import ActingPerson
from bot.storage import queries
from bot.storage.tables import audit_events, requests
from bot.storage.unit_of_work import UnitOfWork

# Built once, because that takes longer than to run them.
_NAMES = select(audit_events.c.event).where(audit_events.c.request == bindparam("subject"))
#: Whether a DELETE of the bot may have ended a job.
_MAY_HAVE_CANCELLED = select(
    exists().where(
        queries.has_job(requests), or_(requests.c.delete_accepted, requests.c.delete_unknown)
    )
)


def record_download(uow: UnitOfWork, job: Job) -> None:
    """Record what is true of an announced job and not on record; its row is locked."""
    has_failed = job.state is JobState.FAILED
    was_cancelled = has_failed and uow.execute(_MAY_HAVE_CANCELLED, asdict(job.ref)).scalar_one()
    recorded = events_about(uow, job.ref.job_id)
    for name, detail in events_to_record(job, recorded, was_cancelled=was_cancelled):
        record_about_job(uow, job.ref, name, detail)


def events_about(uow: UnitOfWork, job_id: str) -> list[str]:
    """Return the names of the events about a job, with those that this transaction adds."""
    subject = JOB_PREFIX + job_id
    stored = uow.execute(_NAMES, {"subject": subject}).scalars()
    return [*stored, *(str(each.name) for each in uow.recorded if each.request == subject)]


def record_about_job(
    uow: UnitOfWork,
    ref: JobRef,
    name: EventName,
    detail: Mapping[str, Any] | None = None,
    actor: ActingPerson | None = None,
) -> None:
    """Append an event about a job, whose row is locked, to the audit log."""
    about = {name: getattr(ref, attribute) for attribute, name in JOB_FIELDS.items()}
    uow.recorded.append(
        Event(
            name=name,
            request=JOB_PREFIX + ref.job_id,
            number=len(events_about(uow, ref.job_id)) + 1,
            at=uow.now.isoformat(timespec="milliseconds"),
            actor=actor.id if actor else None,
            team=actor.team if actor else None,
            detail={**about, **(detail or {})},
        )
    )
