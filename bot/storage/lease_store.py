"""Leases on requests: a runner claims a request, records its DELETEs, and settles it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import and_, or_, select

from bot.atlas import JobState, RestoreJob
from bot.cancellation.events import EventName
from bot.cancellation.job import NO_COPY, Job
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import DeleteAttempts, Outcome, Request, State
from bot.storage.database import has_passed
from bot.storage.job_store import change, note_reads
from bot.storage.queries import IS_OPEN
from bot.storage.request_store import apply_judgement
from bot.storage.request_writer import CHANGE_HELD, CHANGE_LEASED, CHANGE_LEFT, CHANGE_REQUEST
from bot.storage.tables import requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes
from bot.timings import Timings

#: Delay of the card's updates during a run: a shorter one shows only its outcome.
UPDATE_DELAY = timedelta(seconds=1)
LONGEST_LEASE = timedelta(seconds=20)  #: more than any lease of a request; see `has_passed`


@dataclass(eq=False)
class LeaseStore(Store):
    """Claims, renews and settles requests under the leases of one runner."""

    background = "runs"

    owner: str  #: the name of this process, new at each start
    lease: float = field(default=Timings.request_lease, kw_only=True)  #: seconds of a claim

    @reads
    def list_runnable(self, uow: UnitOfWork, limit: int = 100) -> Sequence[str]:
        """List the approved requests, and those whose lease has expired, oldest first."""
        has_expired = has_passed(requests.c.lease_until, uow.now, uow.now + LONGEST_LEASE)
        is_left = and_(requests.c.state == State.CANCELLING, has_expired)
        runnable = or_(requests.c.state == State.APPROVED, is_left)
        chosen = select(requests.c.id).where(IS_OPEN, runnable)
        return [*uow.execute(chosen.order_by(requests.c.changed_at).limit(limit)).scalars()]

    @writes
    def claim(self, uow: UnitOfWork, request_id: str) -> Request | None:
        """Take the lease of a request; None if it has ended or another runner's lease runs."""
        taken = {
            "of": request_id,
            "state": State.CANCELLING,
            "lease_owner": self.owner,
            "lease_until": uow.now + timedelta(seconds=self.lease),
        }
        name = EventName.CLAIMED
        first = {"expected": State.APPROVED, "changed_at": uow.now, **taken}
        claimed = uow.lock_or_none(CHANGE_REQUEST, first)
        if claimed is None:
            name = EventName.TAKEN_OVER
            taken |= {"expected": State.CANCELLING, "now": uow.now, "far": uow.now + LONGEST_LEASE}
            claimed = uow.lock_or_none(CHANGE_LEFT, taken)
        if claimed is None:
            return None
        uow.record(claimed, name, detail={"runner": self.owner})
        uow.refresh_card(claimed, delay=UPDATE_DELAY)
        return claimed

    @writes
    def renew(self, uow: UnitOfWork, request_id: str, seconds: float | None = None) -> bool:
        """Let the lease end after its time, or `seconds`; False if another runner has it."""
        until = uow.now + timedelta(seconds=self.lease if seconds is None else seconds)
        return uow.lock_or_none(CHANGE_HELD, self._held(request_id, lease_until=until)) is not None

    @writes
    def record_delete_sent(self, uow: UnitOfWork, request: Request) -> Request:
        """Record that a DELETE is about to be sent, only while the lease runs.

        Its effect is unknown until `record_delete_answer`. After `AlreadyHandled` nothing may be
        sent.
        """
        sent = replace(request.sent, count=request.sent.count + 1, unknown=True)
        updated = uow.change(CHANGE_LEASED, self._held(request.id, now=uow.now, **_columns(sent)))
        uow.record(updated, EventName.CANCEL_SENT, detail={"try": sent.count})
        return updated

    @writes
    def record_delete_answer(
        self,
        uow: UnitOfWork,
        request: Request,
        sent: DeleteAttempts,
        answer: Mapping[str, Any],
        read_at: datetime,
    ) -> Request:
        """Record the answer to a DELETE, or none, and the read before; raises `AlreadyHandled`."""
        updated = uow.change(CHANGE_HELD, self._held(request.id, **_columns(sent)))
        note_reads(uow, [request.ref], read_at)
        known = {"accepted": sent.accepted, "unknown": sent.unknown}
        uow.record(updated, EventName.CANCEL_ANSWERED, detail={**answer, **known})
        return updated

    @writes
    def record_read(
        self, uow: UnitOfWork, request: Request, job: RestoreJob, read_at: datetime
    ) -> None:
        """Record a run's read, and show its link on the card; raises `AlreadyHandled`."""
        updated = uow.change(CHANGE_HELD, self._held(request.id, state=State.CANCELLING))
        change(uow, request.ref, partial(Job.observe, now=uow.now, read=job, read_at=read_at))
        if job.state is not JobState.IN_PROGRESS:
            uow.refresh_card(updated, delay=UPDATE_DELAY)

    @writes
    def record_check_failed(self, uow: UnitOfWork, request: Request, why: str) -> None:
        """Record, and report, that the rights could not be checked; raises `AlreadyHandled`."""
        updated = uow.change(CHANGE_HELD, self._held(request.id, state=State.CANCELLING))
        detail = {"sentence": why, "try": updated.sent.count}
        uow.record_and_notify(updated, EventName.CHECK_FAILED, detail=detail)

    @writes
    def settle(
        self,
        uow: UnitOfWork,
        request: Request,
        state: State,
        outcome: Outcome,
        judgement: Judgement | None = None,
        *,
        job: RestoreJob | None = None,
        read_at: datetime | None = None,
    ) -> Request:
        """End a run whose last read began at `read_at`; raises `AlreadyHandled`.

        `judgement` has why the request waits for approvals again. If it is tried again at
        `grace_ends_at`, only the first fault is reported.
        """
        if judgement:
            apply_judgement(uow, request, judgement)
        observe = partial(Job.observe, now=uow.now, read=job, read_at=read_at)
        known, over = change(uow, request.ref, observe), {State.CANCELLED, State.OVER}
        if state is State.OVER and known.has_failed_without_link:
            outcome = replace(outcome, sentence=f"{outcome.sentence} {NO_COPY}")
        pause = {"grace_ends_at": request.grace_ends_at} if outcome.tries_again else {}
        return uow.transition(
            request,
            State.CANCELLING,
            state,
            statement=CHANGE_HELD,
            parameters={"holder": self.owner, **pause},
            outcome=outcome,
            detail=known.link_times() if state in over else None,
            reply=not (outcome.tries_again and request.outcome.tries_again),
        )

    def _held(self, request_id: str, **values: object) -> dict[str, object]:
        """Return the parameters that change a request which this runner holds."""
        held = {"of": request_id, "expected": State.CANCELLING, "holder": self.owner}
        return held | values


def _columns(sent: DeleteAttempts) -> dict[str, Any]:
    return {f"delete_{name}": value for name, value in asdict(sent).items()}
