"""Requests and decisions. Each change is one transaction with its audit events and messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import and_, or_, select

from bot.atlas import JobRef
from bot.cancellation import errors
from bot.cancellation.errors import NotAllowed
from bot.cancellation.events import EventName
from bot.cancellation.job import Job, StarterAnswer, end_of_wait
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import UNDECIDED, Card, Ending, Outcome, Request, State, replaced_by
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import answer_refusal
from bot.cancellation.posts import PostKind
from bot.storage import queries
from bot.storage.event_store import record_about_job
from bot.storage.job_store import change, get_or_new
from bot.storage.posts import alarm, show_second_card
from bot.storage.request_writer import (
    CHANGE_REQUEST,
    DELETE_APPROVAL,
    DELETE_APPROVALS,
    INSERT_APPROVAL,
    RETRY_REQUEST,
    UPDATE_REQUEST,
    VOID_APPROVAL,
)
from bot.storage.tables import requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

#: Why a new request is approved.
ACTED_ALONE = "the requester acted alone"
NO_APPROVAL_NEEDED = "no approval was needed"
#: Checks a decision while the request's row is locked.
Check = Callable[[Request], NotAllowed | None]


@dataclass(eq=False)
class RequestStore(Store):
    """Creates requests, records decisions, and ends requests that wait in vain."""

    @reads
    def get(self, uow: UnitOfWork, request_id: str) -> Request:
        """Read one request; raises `RequestNotFound`."""
        return uow.get(request_id)

    @writes
    def create(
        self,
        uow: UnitOfWork,
        request: Request,
        person: ActingPerson,
        recipients: Sequence[str] = (),
    ) -> Request:
        """Record a new request, with its audit events and its card.

        Returns the earlier request, as it is now, if its key exists already; raises
        `JobAlreadyRequested` if another one for the same job is open. `recipients` are the users
        who get a direct message about it, if it was acted alone.
        """
        has_key = requests.c.key == request.key
        same = or_(has_key, and_(queries.has_job(requests, request.ref), queries.IS_OPEN))
        key_first = select(requests).where(same).order_by(has_key.desc())
        if earlier := uow.get_or_none(key_first):
            if earlier.key == request.key:
                return earlier
            _replace(uow, earlier, request, person)
        add_request(uow, request, person)
        if request.acted_alone:
            alone = uow.record(request, EventName.ACTED_ALONE, actor=person)
            uow.enqueue_message(request, PostKind.REPLY, alone)
            for user in recipients:
                uow.enqueue_message(request, PostKind.DIRECT, alone, recipient=user)
        if request.state is State.APPROVED:
            because = ACTED_ALONE if request.acted_alone else NO_APPROVAL_NEEDED
            uow.record(request, EventName.APPROVED, detail={"because": because})
        return request

    @writes
    def approve(
        self,
        uow: UnitOfWork,
        request_id: str,
        person: ActingPerson,
        check: Check,
        judge: Callable[[Request], Judgement],
    ) -> Request:
        """Record an approval after `judge` re-evaluated the request; the last one approves it."""
        request = _lock_undecided(uow, request_id, check)
        request = apply_judgement(uow, request, judge(request))
        _add_approval(uow, request, person)
        others = request.approved_by - {person.id}
        if request.approvals_needed - len(others) > 1:
            uow.record_and_notify(request, EventName.APPROVAL_GIVEN, actor=person)
            return uow.get(request_id)
        return uow.transition(request, request.state, State.APPROVED, actor=person)

    @writes
    def decide(
        self,
        uow: UnitOfWork,
        request_id: str,
        state: State,
        person: ActingPerson,
        check: Check,
        *,
        reason: str = "",
    ) -> Request:
        """End a waiting request as a person decided: denied, withdrawn, or its download kept."""
        request = _lock_undecided(uow, request_id, check)
        expected = State.QUARANTINED if state is State.KEPT else State.AWAITING
        outcome = Outcome(sentence=reason, by=person.id)
        return uow.transition(request, expected, state, actor=person, outcome=outcome)

    @writes
    def retry(
        self,
        uow: UnitOfWork,
        request_id: str,
        person: ActingPerson,
        check: Check,
        *,
        needed_for: Callable[[Request], int],
        ttl: timedelta,
    ) -> Request:
        """Let a failed request run again; its approvals count until its approval time is over.

        `needed_for` returns the number of approvals that the request needs now. New ones are asked
        for within `ttl`. The run judges those that are kept.
        Raises `AlreadyHandled` if it has not failed, and `JobAlreadyRequested` as `create` does.
        """
        request = uow.lock(request_id)
        if request.state is not State.FAILED:
            raise errors.AlreadyHandled(request)
        _allowed(check(request))
        if taken := uow.get_or_none(queries.open_request_for(request.ref)):
            raise errors.JobAlreadyRequested(taken)
        needed = needed_for(request)
        is_kept = bool(request.approvals) and not request.by_bot and uow.now < request.expires_at
        expires_at = request.expires_at if is_kept else uow.now + ttl
        again = {"approvals_needed": needed, "expires_at": expires_at}
        detail = {**again, "expires_at": expires_at.isoformat(), "approvals_kept": is_kept}
        uow.record_and_notify(request, EventName.RETRIED, actor=person, detail=detail)
        uow.execute(RETRY_REQUEST, {"of": request.id, **again})
        if not is_kept:
            uow.execute(DELETE_APPROVALS, {"of": request.id})
        if request.by_bot:
            _add_approval(uow, request, person)
        given = len(request.approvals) if is_kept else int(request.by_bot)
        state = State.AWAITING if given < needed else State.APPROVED
        # A retry is an approval of the bot's own request only.
        actor = person if request.by_bot else None
        return uow.transition(request, State.FAILED, state, actor=actor, reply=False)

    @writes
    def review(
        self, uow: UnitOfWork, request_id: str, person: ActingPerson, check: Check
    ) -> Request:
        """Record who reviewed what was done without approval; raises `AlreadyReviewed`."""
        request = uow.lock(request_id)
        if not request.unreviewed:
            raise errors.AlreadyReviewed(request)
        _allowed(check(request))
        by = {"reviewed_by": person.id, "reviewed_at": uow.now}
        values = {"of": request_id, "expected": request.state, **by}
        reviewed = uow.change(CHANGE_REQUEST, values)
        uow.record_and_notify(reviewed, EventName.REVIEWED, actor=person)
        return reviewed

    @writes
    def answer(
        self,
        uow: UnitOfWork,
        ref: JobRef,
        person: ActingPerson,
        answer: StarterAnswer,
        ending: Callable[[Request], Ending | None],
    ) -> Request | None:
        """Record a starter's first answer, and show it; return the request that it lets run.

        `ending` decides about the open request for the job. Raises why `person` may not answer.
        """

        def answered(job: Job) -> Job:
            if refusal := answer_refusal(job, person):
                raise refusal
            return replace(job, answer=answer)

        # It locks an undecided request, and then the job: of two clicks the second sees the first.
        job = change(uow, ref, answered)
        is_mine = answer is StarterAnswer.MINE
        name = EventName.DOWNLOAD_CLAIMED if is_mine else EventName.DOWNLOAD_DISOWNED
        record_about_job(uow, ref, name, actor=person)
        found = uow.get_all(select(requests).where(queries.has_job(requests, ref)))
        for request in found:
            uow.refresh_card(request)
        if not is_mine:
            own = next((each for each in found if each.by_bot), None)
            alarm(uow.execute, uow.now, job, own)
            if own:
                uow.enqueue_message(own, PostKind.REPLY, uow.recorded[-1])
        waiting = next((each for each in found if not each.state.ended), None)
        if waiting is None or (decided := ending(waiting)) is None:
            return None
        return uow.transition(waiting, State.QUARANTINED, decided.state, outcome=decided.outcome)

    @writes
    def replace_second_card(self, uow: UnitOfWork, of: str, clicked: Card, user: str) -> None:
        """Let the outbox edit a message that a user clicked, if it is a second card or copy."""
        show_second_card(uow.execute, uow.lock(of), uow.now, clicked, user)

    @writes
    def end_due(self, uow: UnitOfWork, limit: int = 20) -> Sequence[Request]:
        """End at most `limit` requests that wait in vain, which keeps the transaction short.

        Those that are being decided just now are left out.
        """
        is_awaiting = requests.c.state == State.AWAITING
        is_late = and_(is_awaiting, requests.c.expires_at <= uow.now)
        # After a DELETE whose answer was lost, a run reads how the download ended.
        ended = and_(queries.DOWNLOAD_HAS_ENDED, or_(is_awaiting, ~requests.c.delete_unknown))
        in_vain = (requests.c.state.in_(UNDECIDED), or_(is_late, ended))
        waiting = select(requests).where(queries.IS_OPEN, *in_vain).limit(limit)
        due = uow.get_all(waiting.with_for_update(skip_locked=True))
        known = get_or_new(uow, [each.ref for each in due])
        ends = [(each, end_of_wait(each, known[each.ref])) for each in due]
        return [uow.transition(r, r.state, end.state, outcome=end.outcome) for r, end in ends]


def add_request(uow: UnitOfWork, request: Request, person: ActingPerson | None) -> None:
    """Add a new request with its first event and its card; `person` is None for the bot."""
    job = change(uow, request.ref, lambda job: job.with_link(request.shown, uow.now), asked=True)
    uow.add(request)
    detail = {
        **request.ask.to_detail(),
        "approvals_needed": request.approvals_needed,
        "expires_at": request.expires_at.isoformat(),
        "state": request.state.value,
        "channel": request.channel,
        **job.audit_detail(),
    }
    created = uow.record(request, EventName.CREATED, actor=person, detail=detail)
    uow.enqueue_message(request, PostKind.CARD, created)


def _replace(uow: UnitOfWork, earlier: Request, request: Request, person: ActingPerson) -> None:
    """End an undecided request for a person's request that runs at once; otherwise refuse that one.

    So a request that waits keeps no job from being cancelled. One that waits for approvals itself
    replaces none: it would let a quarantined download go on.
    """
    earlier = uow.lock(earlier.id)
    if earlier.state.ended:
        return  # by another transaction; if that one added an open request, an index refuses this
    if earlier.state not in UNDECIDED or request.state is not State.APPROVED:
        raise errors.JobAlreadyRequested(earlier)
    outcome = replaced_by(request)
    uow.transition(earlier, earlier.state, State.OVER, actor=person, outcome=outcome)


def apply_judgement(uow: UnitOfWork, request: Request, judgement: Judgement) -> Request:
    """Void the approvals that no longer count, and raise the number of required ones."""
    for user in sorted(judgement.voided):
        uow.execute(VOID_APPROVAL, {"of": request.id, "by": user, "voided_at": uow.now})
        uow.record_and_notify(request, EventName.APPROVAL_VOIDED, detail={"user": user})
    if judgement.approvals_needed > request.approvals_needed:
        detail = {"approvals_needed": judgement.approvals_needed}
        uow.execute(UPDATE_REQUEST, {"of": request.id, **detail})
        uow.record_and_notify(request, EventName.APPROVALS_RAISED, detail=detail)
    return uow.get(request.id)


def _add_approval(uow: UnitOfWork, request: Request, person: ActingPerson) -> None:
    """Add an approval, in the place of one that was voided."""
    uow.execute(DELETE_APPROVAL, {"of": request.id, "by": person.id})
    approval = {"request": request.id, "user": person.id, "at": uow.now}
    uow.execute(INSERT_APPROVAL, approval)


def _lock_undecided(uow: UnitOfWork, request_id: str, check: Check) -> Request:
    """Lock a request that waits for a decision of people, and check the decision."""
    request = uow.lock(request_id)
    if request.state not in UNDECIDED:
        raise errors.AlreadyHandled(request)
    _allowed(check(request))
    if request.state is State.AWAITING and request.expires_at <= uow.now:
        raise errors.RequestExpired(request)
    return request


def _allowed(refusal: NotAllowed | None) -> None:
    if refusal:
        raise refusal
