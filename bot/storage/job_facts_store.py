"""The facts about jobs, with the events, cards and announcements that a change of them causes."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, exists, insert, select, text, tuple_, union, update

from bot.atlas import JobRef, JobState, RestoreJob, created_at
from bot.cancellation.events import EventName
from bot.cancellation.job_facts import JobFacts, LinkPhase, expected_wait
from bot.cancellation.lifecycle import UNDECIDED, Request, State
from bot.cancellation.starter import REACH, StartedBy
from bot.storage import queries
from bot.storage.posts import announce
from bot.storage.tables import (
    JOB,
    JOB_IS_OPEN,
    audit_events,
    job_facts,
    requests,
    to_ref,
    watched_jobs,
)
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

MAX_OBSERVED = 50  #: the newest observed links of a project that count
MAX_FOLLOWED = 100  #: jobs that are followed at most, of each kind
#: The columns with the name of an attribute of `JobFacts`.
_COLUMNS = ("expected_at", "live_since", "until", "ended", "phase")
#: Condition: the announcement of the job has a button.
_IS_ANNOUNCED = and_(text(JOB_IS_OPEN), watched_jobs.c.version > 0)
# Statements with parameters are built once, because that takes longer than to run them.
_INSERT = insert(job_facts)
_IS_WANTED = tuple_(*job_facts.primary_key).in_(bindparam("jobs", expanding=True))
_WANTED = select(job_facts).where(_IS_WANTED)
#: The newest links of `project_id` that were observed.
_OBSERVED = (
    select(job_facts.c.job_id, job_facts.c.live_since)
    .where(job_facts.c.project_id == bindparam("project_id"), job_facts.c.live_since.is_not(None))
    .order_by(job_facts.c.live_since.desc())
    .limit(MAX_OBSERVED)
)
#: The recorded jobs of `project_ids` with the id `job_id`, by the unique indexes.
WITH_ID = union(
    *(
        select(*(table.c[name] for name in JOB)).where(
            table.c.project_id.in_(bindparam("project_ids", expanding=True)),
            table.c.job_id == bindparam("job_id"),
        )
        for table in (watched_jobs, job_facts)
    )
)
_LOCK_UNDECIDED = queries.OPEN_REQUEST_FOR.where(requests.c.state.in_(UNDECIDED)).with_for_update()
_ALL_READ_AT = queries.ALL_READ_AT.subquery()
#: The jobs of `project_id` from `first` to `last` but `job_id`, as one statement with the time at
#: which all clusters were read, so that the jobs are those that were recorded by then.
_NEARBY = select(_ALL_READ_AT.c.at, job_facts.c.job_id).select_from(
    _ALL_READ_AT.outerjoin(
        job_facts,
        and_(
            job_facts.c.project_id == bindparam("project_id"),
            job_facts.c.job_id.between(bindparam("first"), bindparam("last")),
            job_facts.c.job_id != bindparam("job_id"),
        ),
    )
)


def get_facts(uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, JobFacts]:
    """Read the facts about jobs; those that are not known are left out."""
    if not refs:
        return {}
    rows = uow.execute(_WANTED, {"jobs": [astuple(ref) for ref in refs]})
    return {(ref := to_ref(row)): _facts(ref, row) for row in rows}


def get_or_new(uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, JobFacts]:
    """Read the facts about jobs; those that are not known follow from the ids."""
    known = get_facts(uow, refs)
    waits = {id_: _wait(uow, id_) for id_ in {r.project_id for r in refs if r not in known}}
    return {
        ref: known.get(ref) or JobFacts.new(ref, waits[ref.project_id], uow.now) for ref in refs
    }


def _save_facts(uow: UnitOfWork, ref: JobRef, facts: JobFacts, *, is_known: bool) -> None:
    values = {name: getattr(facts, name) for name in _COLUMNS}
    values["started_by"] = json.dumps(facts.started_by.to_json())
    if is_known:
        uow.execute(update(job_facts).where(queries.is_job(job_facts, ref)).values(**values))
    else:
        uow.execute(_INSERT, {**asdict(ref), **values})


def ensure_facts(
    uow: UnitOfWork, ref: JobRef, expires_at: datetime | None = None, state: JobState | None = None
) -> JobFacts:
    """Record what was read about a job's link, see `JobFacts.with_link`; return the facts."""
    known = get_facts(uow, [ref]).get(ref)
    facts = known or JobFacts.new(ref, _wait(uow, ref.project_id), uow.now)
    read = expires_at or state
    updated = facts.with_link(expires_at, state).at(uow.now) if read else facts
    if updated != known:
        _save_facts(uow, ref, updated, is_known=known is not None)
    return updated


def _wait(uow: UnitOfWork, project_id: str) -> Any:  # noqa: ANN401 - a timedelta
    """Return how long the project's jobs take to their links, by the newest that were observed."""
    newest = uow.execute(_OBSERVED, {"project_id": project_id})
    return expected_wait([live - created_at(job_id) for job_id, live in newest])


def _facts(ref: JobRef, row: Any) -> JobFacts:  # noqa: ANN401 - a database row
    same = {name: getattr(row, name) for name in _COLUMNS}
    converted = {
        "started_at": ref.started_at,
        "ended": JobState(row.ended) if row.ended else None,
        "phase": LinkPhase(row.phase),
        "started_by": StartedBy.from_json(json.loads(row.started_by)),
    }
    return JobFacts(**{**same, **converted})


@dataclass(frozen=True, slots=True)
class NearbyJobs:
    """The project's jobs that were started at about the time of a job."""

    ids: Sequence[str] = ()
    all_read_at: datetime | None = None  #: all clusters were read at this time or later


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedJob:
    """A job whose messages are kept up to date."""

    ref: JobRef
    facts: JobFacts
    waits: bool  #: whether a request for it waits for a decision of people
    nearby: NearbyJobs


class JobFactsStore(Store):
    background = True

    @reads
    def get(self, uow: UnitOfWork, refs: Collection[JobRef]) -> dict[JobRef, JobFacts]:
        """Return the facts about jobs; those that are not recorded follow from the ids."""
        return get_or_new(uow, refs)

    @reads
    def with_id(
        self, uow: UnitOfWork, job_id: str, project_ids: Collection[str]
    ) -> Sequence[JobRef]:
        """Return the recorded jobs of these projects with this id: usually one, or none."""
        values = {"job_id": job_id, "project_ids": list(project_ids)}
        return [to_ref(row) for row in uow.execute(WITH_ID, values)]

    @reads
    def known(self, uow: UnitOfWork, ref: JobRef) -> tuple[JobFacts, NearbyJobs, Request | None]:
        """Return the facts about a job, the jobs near it and its open request."""
        facts, request = get_or_new(uow, [ref])[ref], queries.OPEN_REQUEST_FOR
        return facts, _nearby_jobs(uow, ref, facts), uow.get_or_none(request, asdict(ref))

    @reads
    def followed(self, uow: UnitOfWork) -> Sequence[FollowedJob]:
        """Return the jobs of requests that wait, of keeps, and of announcements with a button."""
        undecided = queries.requests_awaiting(uow.now, MAX_FOLLOWED, UNDECIDED)
        waiting = [to_ref(row) for row in uow.execute(undecided)]
        newest = select(watched_jobs).where(_IS_ANNOUNCED).order_by(watched_jobs.c.id.desc())
        announced = [to_ref(row) for row in uow.execute(newest.limit(MAX_FOLLOWED))]
        kept = [to_ref(row) for row in uow.execute(queries.KEPT_AND_OPEN)]
        facts = get_or_new(uow, [*dict.fromkeys([*waiting, *kept, *announced])])
        return [
            FollowedJob(
                ref=ref, facts=known, waits=ref in waiting, nearby=_nearby_jobs(uow, ref, known)
            )
            for ref, known in facts.items()
        ]

    @writes
    def record(
        self,
        uow: UnitOfWork,
        ref: JobRef,
        job: RestoreJob | None = None,
        started_by: StartedBy | None = None,
    ) -> JobFacts:
        """Add what was read, and update the messages about the job, in one transaction."""
        request = uow.lock_or_none(_LOCK_UNDECIDED, asdict(ref))
        known = get_facts(uow, [ref]).get(ref)
        before = known or get_or_new(uow, [ref])[ref]
        after = before.add(job, started_by).at(uow.now)
        if after != known or after.started_by.settled != before.started_by.settled:
            _save_facts(uow, ref, after, is_known=known is not None)
        if request:
            _update_request(uow, request, before, after)
        if after != before:
            announced = update(watched_jobs).where(queries.is_job(watched_jobs, ref), _IS_ANNOUNCED)
            counted = announced.values(version=watched_jobs.c.version + 1).returning(watched_jobs)
            announce(uow.execute, uow.now, uow.execute(counted).all())
        return after


def _nearby_jobs(uow: UnitOfWork, ref: JobRef, facts: JobFacts) -> NearbyJobs:
    """Return the jobs near a job whose starter may not be settled yet."""
    if facts.started_by.settled:
        return NearbyJobs()
    times = (ref.started_at - REACH, ref.started_at + REACH)
    first, last = (f"{max(0, int(time.timestamp())):08x}" for time in times)
    values = {"first": first, "last": f"{last}g", "now": uow.now, **asdict(ref)}
    rows = uow.execute(_NEARBY, values).all()
    return NearbyJobs([row.job_id for row in rows if row.job_id], rows[0].at)


def _update_request(uow: UnitOfWork, request: Request, before: JobFacts, after: JobFacts) -> None:
    """Record once that the link went live or was used, or the job ended; update the card."""
    starter = after.started_by.starter
    if starter and after.started_by != before.started_by:
        detail = after.audit_detail()
        uow.record_and_notify(request, EventName.STARTER_KNOWN, detail=detail, reply=False)
    is_used = after.phase is LinkPhase.USED
    if (is_used or after.phase is LinkPhase.LIVE) and not request.shown.link_existed:
        _record_once(uow, request, EventName.LINK_LIVE, after, reply=not is_used)
    if is_used and not request.shown.link_was_used:
        _record_once(uow, request, EventName.LINK_USED, after)
    if after.phase is LinkPhase.ENDED and request.state is State.AWAITING:
        _record_once(uow, request, EventName.JOB_ENDED, after)
    if after != before:
        uow.refresh_card(request)


def _record_once(
    uow: UnitOfWork, request: Request, name: EventName, facts: JobFacts, *, reply: bool = True
) -> None:
    is_event = (audit_events.c.request == request.id, audit_events.c.event == name)
    if uow.execute(select(exists().where(*is_event))).scalar_one():
        return
    detail = {
        "live_since": facts.live_since.isoformat() if facts.live_since else None,
        "until": facts.until.isoformat() if facts.until else None,
        "state": facts.ended,
    }
    known = {k: v for k, v in detail.items() if v}
    uow.record_and_notify(request, name, detail=known, reply=reply)
