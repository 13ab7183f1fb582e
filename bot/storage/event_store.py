"""Audit events: those of downloads, and which of all the webhook's receiver took."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, func, insert, or_, select, update

from bot.atlas import JobRef, JobState
from bot.cancellation.events import JOB_PREFIX, Event, EventName, Recorded
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import JOB_FIELDS
from bot.cancellation.people import ActingPerson
from bot.storage import queries
from bot.storage.tables import audit_events, audit_webhook, requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

#: For which a replica of the edition before, which knows no leader, leaves the sending to this one.
LEASE = timedelta(seconds=20)


def record_download(uow: UnitOfWork, job: Job) -> None:
    """Record what is true of an announced job and not on record; its row is locked."""
    sent = or_(requests.c.delete_accepted, requests.c.delete_unknown)
    may_be_cancelled = select(exists().where(queries.has_job(requests, job.ref), sent))
    was_cancelled = job.state is JobState.FAILED and uow.execute(may_be_cancelled).scalar_one()
    recorded = events_about(uow, job.ref.job_id)
    is_named = EventName.DOWNLOAD_STARTER_KNOWN in recorded
    for name, detail in events_of(job, was_cancelled=was_cancelled, is_named=is_named):
        if name not in recorded:
            record_about_job(uow, job.ref, name, detail)


def events_of(
    job: Job, *, was_cancelled: bool, is_named: bool = False
) -> Iterator[tuple[EventName, Mapping[str, Any]]]:
    """Yield the events that are true of an announced job, with their details.

    A restore into another project has one event.

    `was_cancelled` is whether a DELETE of the bot may have ended it: then it may read failed too.
    `is_named` is whether its starter is on record.
    """
    started = job.ref.started_at.isoformat()
    if job.shown and job.is_new_restore:
        project, _, cluster = (job.shown.target or "").partition("/")
        target = {"target_project": project, "target_cluster": cluster}
        kind = job.shown.delivery_type
        yield EventName.RESTORE_SEEN, {"started": started, "type": kind, **target}
        return
    yield EventName.SEEN, {"started": started, "before_watch": job.was_running}
    starter = job.started_by.starter
    if starter and starter.certain:
        yield EventName.DOWNLOAD_STARTER_KNOWN, {"by": starter.name or None, "kind": starter.kind}
    elif is_named:
        yield EventName.DOWNLOAD_STARTER_UNCERTAIN, {}
    if job.live_since or job.state in {JobState.LINK_LIVE, JobState.LINK_USED}:
        times = {"live_since": job.live_since, "until": job.until}
        detail = {name: at.isoformat() if at else None for name, at in times.items()}
        yield EventName.DOWNLOAD_LINK_LIVE, detail
    if job.ended:
        how = JobState.CANCELLED if was_cancelled and job.state is JobState.FAILED else job.state
        yield EventName.DOWNLOAD_ENDED, {"how": how}


def events_about(uow: UnitOfWork, job_id: str) -> list[str]:
    """Return the names of the events about a job, with those that this transaction adds."""
    subject = JOB_PREFIX + job_id
    names = select(audit_events.c.event).where(audit_events.c.request == subject)
    stored = uow.execute(names).scalars()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is left to send."""

    starts_after: int  #: the last event that is not sent, since it precedes the webhook
    oldest: datetime | None  #: when the oldest event was recorded that is not sent yet


@dataclass(eq=False)
class WebhookStore(Store):
    """Unsent events in one database; every method raises `StorageError` when the database fails.

    The mark is a column of the event's own row. A cursor would not do: the events of one request
    may wait for the receiver while those of others go on.
    """

    background = "loops"

    owner: str  #: the name of this process, different at each start

    @writes
    def backlog(self, uow: UnitOfWork) -> Backlog:
        """Return what is left; the first call in a database begins after the newest event."""
        lease = {"lease_owner": self.owner, "lease_until": uow.now + LEASE}
        row = uow.execute(select(audit_webhook)).first()
        if row is None:
            newest = uow.execute(select(func.coalesce(func.max(audit_events.c.id), 0))).scalar_one()
            uow.execute(insert(audit_webhook).values(id=1, starts_after=newest, **lease))
            return Backlog(starts_after=newest, oldest=None)
        uow.execute(update(audit_webhook).values(**lease))
        unposted = select(audit_events.c.at).where(_is_unposted(audit_events, row.starts_after))
        at = uow.execute(unposted.order_by(audit_events.c.id).limit(1)).scalar_one_or_none()
        oldest = datetime.fromisoformat(at) if at else None
        return Backlog(starts_after=row.starts_after, oldest=oldest)

    @reads
    def unposted(
        self, uow: UnitOfWork, starts_after: int, skip: Collection[str], limit: int
    ) -> Sequence[Recorded]:
        """Return the next event of each request, oldest first; `skip` names requests.

        Within a request the ids ascend, because each of its transactions locks its row.
        """
        earlier = audit_events.alias()
        is_next = ~exists().where(
            earlier.c.request == audit_events.c.request,
            earlier.c.id < audit_events.c.id,
            _is_unposted(earlier, starts_after),
        )
        is_free = audit_events.c.request.not_in(skip)
        due = select(audit_events).where(_is_unposted(audit_events, starts_after), is_next, is_free)
        rows = uow.execute(due.order_by(audit_events.c.id).limit(limit))
        return [queries.to_recorded(row) for row in rows]

    @writes
    def mark_posted(self, uow: UnitOfWork, event: Recorded) -> None:
        """Record that the receiver took an event."""
        column = audit_events.c
        is_event = (column.request == event.request, column.number == event.number)
        uow.execute(update(audit_events).where(*is_event).values(posted_at=uow.now))


def _is_unposted(events: FromClause, starts_after: int) -> ColumnElement[bool]:
    return events.c.posted_at.is_(None) & (events.c.id > starts_after)
