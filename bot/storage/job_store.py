"""Restore jobs, with the events, cards and announcements that a change of them causes."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, exists, func, insert, or_, select, text, tuple_, update

from bot.atlas import JobRef, JobState, RestoreJob, created_at
from bot.cancellation.events import EventName
from bot.cancellation.job import (
    LONGEST_WAIT,
    READ_STEP,
    USUAL_WAIT,
    Job,
    LinkPhase,
    QuarantineDecision,
    StarterAnswer,
    expected_wait,
    may_end_late,
)
from bot.cancellation.lifecycle import UNDECIDED, Card, Request
from bot.cancellation.starter import NOT_READ, REACH, SETTLED_AFTER, StartedBy
from bot.storage import queries
from bot.storage.database import read_value, same_values
from bot.storage.event_store import record_download
from bot.storage.posts import NO_DELAY, announce, refresh_card
from bot.storage.tables import (
    JOB,
    JOB_IS_OPEN,
    audit_events,
    jobs,
    requests,
    shown_from_json,
    to_ref,
    watch_leases,
)
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

MAX_OBSERVED = 50  #: the newest observed links of a project that count
MAX_FOLLOWED = 100  #: jobs that are followed at most, of each kind
#: How long a job is followed after a change: until the feed was read when it shows each event.
FOLLOWED_FOR = SETTLED_AFTER
#: The columns with the name and the value of an attribute of `Job`.
_SAME = ("first_seen_at", "changed_at", "live_since", "until", "version", "asked", "read_at")
_JOB = tuple_(*(jobs.c[name] for name in JOB))
# Built once, because that takes longer than to run them.
_LOCK_JOB = select(jobs).where(queries.has_job(jobs)).with_for_update()
_IS_UNDECIDED = requests.c.state.in_(UNDECIDED)
_LOCK_UNDECIDED = queries.open_request_for().where(_IS_UNDECIDED).with_for_update()
#: The newest rows only: jobs are never deleted.
_IS_NEW = jobs.c.id > select(func.max(jobs.c.id) - MAX_FOLLOWED).scalar_subquery()
starter_from_json = TypeAdapter(StartedBy).validate_json


def to_job(row: Any) -> Job:  # noqa: ANN401 - a database row
    """Build a job from its row."""
    ref, state = to_ref(row, jobs), read_value(row, jobs.c.state, JobState, JobState.IN_PROGRESS)
    same = same_values(row, jobs, [*_SAME, "expected_at"])
    same["expected_at"] = same["expected_at"] or ref.started_at + USUAL_WAIT
    is_used = row.link_used and state is JobState.LINK_LIVE
    # Version 1.0 left it empty: it did not know whether the job was read throughout.
    is_old = row.link_used is None and state in {JobState.CANCELLED, JobState.FAILED}
    return Job(
        **same,
        id=row.id,
        ref=ref,
        state=JobState.LINK_USED if is_used else state,
        link_unknown=(bool(row.link_used) and state.is_over) or (is_old and not row.live_since),
        phase=read_value(row, jobs.c.phase, LinkPhase, LinkPhase.EXPECTED),
        started_by=read_value(row, jobs.c.started_by, starter_from_json, NOT_READ),
        shown=read_value(row, jobs.c.shown, shown_from_json, None),
        quarantine=read_value(row, jobs.c.quarantine, QuarantineDecision, None),
        was_running=bool(row.was_running),
        answer=read_value(row, jobs.c.answer, StarterAnswer, None),
        announcement=Card(channel=row.channel, ts=row.ts) if row.ts else None,
    )


def _to_row(job: Job) -> dict[str, Any]:
    """Return the columns of a job but its id and the place of its announcement."""
    is_used = job.state is JobState.LINK_USED
    return {
        **{name: getattr(job, name) for name in _SAME},
        **asdict(job.ref),
        "state": JobState.LINK_LIVE if is_used else job.state,
        "link_used": is_used or (job.link_unknown and job.state.is_over),
        "expected_at": job.expected_at,
        "phase": job.phase,
        "started_by": json.dumps(asdict(job.started_by)),
        "shown": json.dumps(job.shown.to_json()) if job.shown else "",
        "quarantine": job.quarantine,
        "was_running": job.was_running,
        "answer": job.answer,
    }


def get_or_new(uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, Job]:
    """Read jobs; those that are not recorded follow from their ids."""
    wanted = select(jobs).where(_JOB.in_([astuple(ref) for ref in refs]))
    known = {to_ref(row, jobs): to_job(row) for row in uow.execute(wanted)} if refs else {}
    new = {ref.project_id for ref in refs if ref not in known}
    waits = {project_id: expected_wait_in(uow, project_id) for project_id in new}
    return {ref: known.get(ref) or Job.new(ref, waits[ref.project_id], uow.now) for ref in refs}


def newest_open(uow: UnitOfWork, *conditions: ColumnElement[bool]) -> Sequence[Any]:
    """Read the jobs whose announcement has a button, newest first.

    Sorted here: by their order SQLite would read all jobs, and not the index of the open ones.
    """
    is_open = select(jobs).where(text(JOB_IS_OPEN), jobs.c.version > 0, *conditions)
    rows = uow.execute(is_open).all()
    return sorted(rows, key=lambda row: -row.id)[:MAX_FOLLOWED]


def get_announced(uow: UnitOfWork, row_ids: Collection[int]) -> dict[int, Job]:
    """Read jobs by the ids of their rows, each with the newest request for it."""
    found = map(to_job, uow.execute(select(jobs).where(jobs.c.id.in_(row_ids))).all())
    newest = queries.newest_request_for
    return {job.id or 0: replace(job, request=uow.get_or_none(newest(job.ref))) for job in found}


def expected_wait_in(uow: UnitOfWork, project_id: str) -> timedelta:
    """Return how long the project's jobs take to their links, by the newest that were observed."""
    is_observed = (jobs.c.project_id == project_id, jobs.c.live_since.is_not(None))
    observed = select(jobs.c.job_id, jobs.c.live_since).where(*is_observed)
    newest = uow.execute(observed.order_by(jobs.c.live_since.desc()).limit(MAX_OBSERVED))
    return expected_wait([live - created_at(job_id) for job_id, live in newest])


def insert_history(uow: UnitOfWork, history: Sequence[Job]) -> None:
    """Insert jobs that no message shows."""
    if history:
        uow.execute(insert(jobs), [_to_row(job) for job in history])


def change(
    uow: UnitOfWork, ref: JobRef, observe: Callable[[Job], Job], *, asked: bool = False
) -> Job:
    """Change a job under the lock of its row, and ask for updates of the messages about it.

    `asked`: its announcement shows a new request for it. The row of an undecided request is locked
    before that of its job.
    """
    of_job = asdict(ref)
    request = uow.lock_or_none(_LOCK_UNDECIDED, of_job)
    row = uow.execute(_LOCK_JOB, of_job).first()
    before = to_job(row) if row else Job.new(ref, expected_wait_in(uow, ref.project_id), uow.now)
    after = observe(before).at(uow.now)
    if after.version > 0 and (asked or after != before):
        after = replace(after, version=before.version + 1)
    values, saved = _to_row(after), []
    if row is None:
        saved = uow.execute(insert(jobs).values(**values).returning(jobs)).all()
    elif after != before:
        changed = update(jobs).where(jobs.c.id == row.id).values(**values)
        saved = uow.execute(changed.returning(jobs)).all()
    elif after.read_at and after.read_at != before.read_at:
        note_reads(uow, [ref], after.read_at)
    if request:
        _update_request(uow, request, before, after)
    for each in uow.get_all(queries.FOLLOWED_CARDS, of_job) if after != before else ():
        refresh_card(uow.execute, each, uow.now, NO_DELAY, only_facts=True)
        is_cancelled = after.state is JobState.CANCELLED and before.ended is None
        if is_cancelled and may_end_late(each):
            _report_late_end(uow, each)
    if saved and (after.version or after.is_new_restore):
        is_new = not before.version if after.version else before.shown is None
        announce(uow.execute, uow.now, saved[0], is_new=is_new)
        record_download(uow, after)
    return after


def note_reads(uow: UnitOfWork, refs: Collection[JobRef], read_at: datetime) -> None:
    """Record that a read which began at `read_at` had these jobs, unless one just before it did."""
    is_recorded = jobs.c.read_at.between(read_at - READ_STEP, read_at)
    is_due = or_(jobs.c.read_at.is_(None), ~is_recorded)
    read = update(jobs).where(_JOB.in_([astuple(ref) for ref in refs]), is_due)
    uow.execute(read.values(read_at=read_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """A job with what decides who started it, and whether it is read."""

    job: Job
    request: Request | None = None  #: the open request for it
    other_jobs: Sequence[str] = ()  #: the project's jobs that were started at about its time
    all_read_at: datetime | None = None  #: by Atlas's clock all clusters were read then or later

    @property
    def waits(self) -> bool:
        """Whether a request for it waits for a decision of people."""
        return self.request is not None and self.request.state in UNDECIDED

    @property
    def is_unwatched(self) -> bool:
        """Whether no watch lists it."""
        return self.job.shown is None


class JobStore(Store):
    background = "loops"

    @reads
    def get(self, uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, Job]:
        """Return jobs; those that are not recorded follow from the ids."""
        return get_or_new(uow, refs)

    @reads
    def with_id(
        self, uow: UnitOfWork, job_id: str, project_ids: Collection[str]
    ) -> Sequence[JobRef]:
        """Return the recorded jobs of these projects with this id: usually one, or none."""
        is_one = (jobs.c.project_id.in_(project_ids), jobs.c.job_id == job_id)
        return [to_ref(row, jobs) for row in uow.execute(select(jobs).where(*is_one))]

    @reads
    def known(self, uow: UnitOfWork, ref: JobRef) -> KnownJob:
        """Return a job, the jobs near it and its open request."""
        job = get_or_new(uow, [ref])[ref]
        return _known(uow, job, uow.get_or_none(queries.open_request_for(ref)))

    @reads
    def followed(self, uow: UnitOfWork) -> Sequence[KnownJob]:
        """Return the jobs of requests that wait or failed, of keeps, and of open announcements.

        Those that have just ended too, because the feed may name their starters later.
        """
        undecided = queries.requests_in(UNDECIDED, uow.now, MAX_FOLLOWED)
        waiting = {request.ref: request for request in uow.get_all(undecided)}
        is_changed = (jobs.c.shown != "", jobs.c.changed_at > uow.now - FOLLOWED_FOR)
        rows = uow.execute(select(jobs).where(_IS_NEW, *is_changed))
        changed = [row for row in rows if row.version or to_job(row).is_new_restore]
        failed = uow.execute(queries.failed_since(uow.now - LONGEST_WAIT, MAX_FOLLOWED))
        others = [*failed, *uow.execute(queries.KEPT_AND_OPEN), *newest_open(uow), *changed]
        known = get_or_new(uow, [*dict.fromkeys([*waiting, *map(to_ref, others)])])
        return [_known(uow, job, waiting.get(ref)) for ref, job in known.items()]

    @writes
    def record(
        self,
        uow: UnitOfWork,
        ref: JobRef,
        read: RestoreJob | None = None,
        started_by: StartedBy | None = None,
        *,
        read_at: datetime | None = None,
    ) -> Job:
        """Add what was read, and update the messages about the job, in one transaction."""
        observe = partial(Job.observe, now=uow.now, read=read, started_by=started_by)
        return change(uow, ref, partial(observe, read_at=read_at))


def _known(uow: UnitOfWork, job: Job, request: Request | None) -> KnownJob:
    """Add the jobs near a job whose starter may change."""
    if job.has_settled_starter(uow.now):
        return KnownJob(job=job, request=request)
    times = (job.ref.started_at - REACH, job.ref.started_at + REACH)
    first, last = (f"{max(0, int(time.timestamp())):08x}" for time in times)
    leases, columns = watch_leases.c, jobs.c
    # The time first, so that all jobs that were recorded by then are read; None before it.
    of_project = select(leases.all_read_at).where(leases.project_id == job.ref.project_id)
    all_read_at = uow.execute(of_project).scalar()
    is_nearby = (columns.job_id.between(first, f"{last}g"), columns.job_id != job.ref.job_id)
    in_project = select(columns.job_id).where(columns.project_id == job.ref.project_id)
    others = [*uow.execute(in_project.where(*is_nearby)).scalars()]
    return KnownJob(job=job, request=request, other_jobs=others, all_read_at=all_read_at)


def _update_request(uow: UnitOfWork, request: Request, before: Job, after: Job) -> None:
    """Record once that the link went live or was used; update the card."""
    starter = after.started_by.starter
    if starter and after.started_by != before.started_by:
        detail = after.audit_detail()
        uow.record(request, EventName.STARTER_KNOWN, detail=detail)
    is_used = after.phase is LinkPhase.USED
    if (is_used or after.phase is LinkPhase.LIVE) and not request.shown.link_existed:
        _record_once(uow, request, EventName.LINK_LIVE, after, reply=not is_used)
    if is_used and not request.shown.link_was_used:
        _record_once(uow, request, EventName.LINK_USED, after)
    if after != before:
        refresh_card(uow.execute, request, uow.now, NO_DELAY, only_facts=True)


def _report_late_end(uow: UnitOfWork, own: Request) -> None:
    """Record that a download was cancelled that was to go on, unless by a newer request."""
    newest = uow.get_or_none(queries.newest_request_for(own.ref)) or own
    if newest == own or (newest.state.ended and not newest.sent.count):
        uow.record_and_notify(own, EventName.JOB_ENDED, detail={"user": own.outcome.by})


def _record_once(
    uow: UnitOfWork, request: Request, name: EventName, job: Job, *, reply: bool = True
) -> None:
    is_event = (audit_events.c.request == request.id, audit_events.c.event == name)
    if uow.execute(select(exists().where(*is_event))).scalar_one():
        return
    detail = {
        "live_since": job.live_since.isoformat() if job.live_since else None,
        "until": job.until.isoformat() if job.until else None,
    }
    known = {k: v for k, v in detail.items() if v}
    uow.record_and_notify(request, name, detail=known, reply=reply)
