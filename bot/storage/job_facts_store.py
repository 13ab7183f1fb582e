"""The facts about jobs, with the events, cards and announcements that a change of them causes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, Table, exists, select

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.events import EventName
from bot.cancellation.job_facts import JobFacts, LinkPhase
from bot.cancellation.lifecycle import UNDECIDED, Request, State
from bot.cancellation.starter import WIDE_TOLERANCE, StartedBy
from bot.storage.job_facts_rows import get_facts, get_or_new, save_facts
from bot.storage.queries import requests as request_queries
from bot.storage.queries import watch as watch_queries
from bot.storage.store import Store, reads, writes
from bot.storage.tables import JOB, audit_events, job_facts, requests, watched_jobs
from bot.storage.unit_of_work import UnitOfWork
from bot.storage.watch_store import refresh_announcement

#: Jobs that are followed at most, of each kind.
MAX_FOLLOWED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedJob:
    """A job whose messages are kept up to date.

    Attributes:
        waits: whether a request for it waits for a decision of people.
        neighbours: the ids of jobs of the project that were started at about the same time.
    """

    ref: JobRef
    facts: JobFacts
    waits: bool
    neighbours: Sequence[str]


class JobFactsStore(Store):
    """The facts about jobs."""

    background = True

    @reads
    def get(self, uow: UnitOfWork, refs: Collection[JobRef]) -> Mapping[JobRef, JobFacts]:
        """Return the facts about jobs; those that are not recorded follow from the ids."""
        return get_or_new(uow, refs)

    @reads
    def neighbours(self, uow: UnitOfWork, ref: JobRef) -> Sequence[str]:
        """Return the ids of known jobs that were started at about the same time."""
        return _neighbours(uow, ref)

    @reads
    def followed(self, uow: UnitOfWork) -> Sequence[FollowedJob]:
        """Return the jobs of requests that wait, and of announcements with a button."""
        waiting = _refs(
            uow, request_queries.requests_awaiting(uow.now, MAX_FOLLOWED, UNDECIDED), requests
        )
        announced = _refs(uow, watch_queries.announced_open_jobs(MAX_FOLLOWED), watched_jobs)
        facts = get_or_new(uow, [*dict.fromkeys([*waiting, *announced])])
        return [
            FollowedJob(
                ref=ref,
                facts=known,
                waits=ref in waiting,
                neighbours=() if known.started_by.is_settled else _neighbours(uow, ref),
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
        feed_link: str | None = None,
    ) -> JobFacts:
        """Add what was read, and update the messages about the job, in one transaction."""
        request = uow.update_or_none(request_queries.lock_waiting_request_for(ref))
        known = get_facts(uow, [ref]).get(ref)
        before = known or get_or_new(uow, [ref])[ref]
        after = add(before, job, started_by, feed_link).at(uow.now)
        if after != known:
            save_facts(uow, ref, after)
        if request:
            _update_request(uow, request, before, after)
        if after != before:
            refresh_announcement(uow, ref)
        return after


def add(
    facts: JobFacts,
    job: RestoreJob | None,
    started_by: StartedBy | None,
    feed_link: str | None = None,
) -> JobFacts:
    """Return the facts with what was read (pure)."""
    facts = facts.with_job(job) if job else facts
    facts = facts.with_starter(started_by) if started_by else facts
    return facts.with_feed_link(feed_link)


def _refs(uow: UnitOfWork, rows: Select[Any], table: Table) -> list[JobRef]:
    jobs = rows.with_only_columns(*(table.c[name] for name in JOB))
    return [JobRef(*row) for row in uow.execute(jobs)]


def _neighbours(uow: UnitOfWork, ref: JobRef) -> list[str]:
    first, last = (_prefix(ref, by) for by in (-WIDE_TOLERANCE, WIDE_TOLERANCE))
    job_id = job_facts.c.job_id
    are_near = (job_facts.c.project_id == ref.project_id, job_id.between(first, f"{last}g"))
    return list(uow.execute(select(job_id).where(*are_near, job_id != ref.job_id)).scalars())


def _prefix(ref: JobRef, by: timedelta) -> str:
    return f"{max(0, int((ref.started_at + by).timestamp())):08x}"


def _update_request(uow: UnitOfWork, request: Request, before: JobFacts, after: JobFacts) -> None:
    """Record once that the link went live or the job ended; update the card."""
    starter = after.started_by.starter
    if starter and after.started_by != before.started_by:
        detail = after.audit_detail()
        uow.record_and_notify(request, EventName.STARTER_KNOWN, detail=detail, notify=False)
    was_live = request.shown.link_is_live
    if after.phase is LinkPhase.LIVE and not was_live:
        _record_once(uow, request, EventName.LINK_LIVE, after)
    if after.phase is LinkPhase.ENDED and request.state is State.AWAITING:
        _record_once(uow, request, EventName.JOB_ENDED, after)
    if after != before:
        uow.refresh_card(request)


def _record_once(uow: UnitOfWork, request: Request, name: EventName, facts: JobFacts) -> None:
    is_event = (audit_events.c.request == request.id, audit_events.c.event == name)
    if uow.execute(select(exists().where(*is_event))).scalar_one():
        return
    clock = facts.clock
    detail = {
        "live_since": clock.live_since.isoformat() if clock.live_since else None,
        "until": clock.until.isoformat() if clock.until else None,
        "state": clock.ended,
    }
    uow.record_and_notify(request, name, detail={k: v for k, v in detail.items() if v})
