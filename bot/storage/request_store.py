"""Requests and decisions. Each change is one transaction with its audit events and messages."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.atlas import JobRef
from bot.cancellation.errors import (
    AlreadyHandled,
    AlreadyReviewed,
    Conflict,
    JobAlreadyRequested,
    NotAllowed,
    RequestExpired,
)
from bot.cancellation.events import EventName
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.policy import Judgement
from bot.cancellation.posts import PostKind
from bot.cancellation.request_context import new_request_id
from bot.storage.database import Database
from bot.storage.job_facts_rows import ensure_facts
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.tables import shown_to_json
from bot.storage.unit_of_work import Store, UnitOfWork

#: Checks a decision while the request's row is locked.
Check = Callable[[Request], NotAllowed | None]


class RequestStore(Store):
    """Creates requests, records decisions, and expires and prunes requests.

    Args:
        on_state_entered: called after the commit with each state that a request enters.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        on_state_entered: Callable[[State], None] = lambda _state: None,
    ) -> None:
        super().__init__(database, now)
        self._on_state_entered = on_state_entered

    async def get(self, request_id: str) -> Request:
        """Read one request; raises `RequestNotFound`."""
        return await self._read(lambda uow: uow.get(request_id))

    async def open_request_for(self, ref: JobRef) -> Request | None:
        """Find the open request for a job."""
        return await self._read(lambda uow: uow.get_or_none(request_queries.open_request_for(ref)))

    async def newest_request_for(self, ref: JobRef) -> Request | None:
        """Find the last request for a job, whether it has ended or not."""
        newest = request_queries.newest_request_for(ref)
        return await self._read(lambda uow: uow.get_or_none(newest))

    async def count_open(self) -> int:
        """Count the requests that have not ended."""
        count = request_queries.count_open_requests()
        return await self._read(lambda uow: int(uow.execute(count).scalar_one()))

    async def count_unreviewed(self) -> int:
        """Count the requests that ran without approval and were not reviewed."""
        count = request_queries.COUNT_UNREVIEWED
        return await self._read(lambda uow: int(uow.execute(count).scalar_one()))

    async def create(
        self, request: Request, person: Person, recipients: Sequence[str] = ()
    ) -> Request:
        """Record a new request, with its audit events and its card.

        Args:
            request: the request.
            person: the requester.
            recipients: the users who get a direct message about it, if it was acted alone.

        Returns:
            the request; if its key exists already, the earlier request as it is now.

        Raises:
            JobAlreadyRequested: another open request is for the same job.
            LedgerError: the database did not answer, or refused the write.
        """
        add = partial(_find_or_create, person=person, recipients=recipients)
        try:
            created = await self._write(lambda uow: add(uow, request))
        except Conflict:
            # Another transaction inserted first, or another dialog had the same id.
            request = replace(request, id=new_request_id())
            created = await self._write(lambda uow: add(uow, request))
        if created.id == request.id:
            self._on_state_entered(created.state)
        return created

    async def approve(
        self,
        request_id: str,
        person: Person,
        check: Check,
        judge: Callable[[Request], Judgement],
    ) -> Request:
        """Record an approval; the last one needed lets the request run.

        Args:
            request_id: the request.
            person: the person who approves.
            check: refuses the decision.
            judge: judges the requester and the earlier approvals again.
        """

        def work(uow: UnitOfWork) -> Request:
            request = _lock_awaiting(uow, request_id, check)
            request = uow.apply_judgement(request, judge(request))
            uow.execute(request_queries.delete_approvals(request.id, person.id))  # a voided one
            uow.execute(request_queries.new_approval(request.id, person.id, uow.now))
            others = request.approved_by - {person.id}
            if request.approvals_needed - len(others) > 1:
                uow.record_and_notify(request, EventName.APPROVAL_GIVEN, actor=person)
                return uow.get(request_id)
            return uow.transition(request, State.AWAITING, State.APPROVED, actor=person)

        request = await self._write(work)
        if request.state is State.APPROVED:
            self._on_state_entered(request.state)
        return request

    async def deny(self, request_id: str, person: Person, reason: str, check: Check) -> Request:
        """Deny a waiting request."""
        outcome = Outcome(sentence=reason, by=person.id)
        return await self._end_waiting(request_id, State.DENIED, outcome, person, check)

    async def withdraw(self, request_id: str, person: Person, check: Check) -> Request:
        """Withdraw a waiting request."""
        outcome = Outcome(by=person.id)
        return await self._end_waiting(request_id, State.WITHDRAWN, outcome, person, check)

    async def _end_waiting(
        self, request_id: str, state: State, outcome: Outcome, person: Person, check: Check
    ) -> Request:
        def work(uow: UnitOfWork) -> Request:
            request = _lock_awaiting(uow, request_id, check)
            return uow.transition(request, State.AWAITING, state, actor=person, outcome=outcome)

        return self._report_state(await self._write(work))

    async def retry(
        self,
        request_id: str,
        person: Person,
        check: Check,
        needed_for: Callable[[Request], int],
        ttl: timedelta,
    ) -> Request:
        """Let a failed request run again; where approvals are needed, it waits for new ones.

        Args:
            request_id: the request.
            person: the person who retries.
            check: refuses the decision.
            needed_for: returns the number of approvals that the request needs now.
            ttl: how long the request waits for its approvals.

        Raises:
            AlreadyHandled: the request has not failed, or runs again already.
            JobAlreadyRequested: another open request is for the same job.
        """

        def work(uow: UnitOfWork) -> Request:
            request = uow.lock(request_id)
            if request.state is not State.FAILED:
                raise AlreadyHandled(request)
            _allowed(check(request))
            if taken := uow.get_or_none(request_queries.open_request_for(request.ref)):
                raise JobAlreadyRequested(taken)
            needed = needed_for(request)
            expires_at = uow.now + ttl
            detail = {"approvals_needed": needed, "expires_at": expires_at.isoformat()}
            uow.record_and_notify(request, EventName.RETRIED, actor=person, detail=detail)
            # A person decided again, so another DELETE may be sent; an earlier one may still work.
            uow.execute(request_queries.mark_acceptance_unknown(request.id))
            uow.execute(request_queries.ask_again(request.id, needed, expires_at))
            uow.execute(request_queries.delete_approvals(request.id))
            # No actor: a retry is not an approval.
            state = State.AWAITING if needed else State.APPROVED
            return uow.transition(request, State.FAILED, state, notify=False)

        return self._report_state(await self._write(work))

    async def review(self, request_id: str, person: Person, check: Check) -> Request:
        """Record who reviewed what was done without approval.

        Raises:
            AlreadyReviewed: another person was first.
        """

        def work(uow: UnitOfWork) -> Request:
            request = uow.get(request_id)
            if request.reviewed_by:
                raise AlreadyReviewed(request)
            _allowed(check(request))
            statement = request_queries.review(request_id, person.id, uow.now)
            if (reviewed := uow.update_or_none(statement)) is None:
                raise AlreadyReviewed(uow.get(request_id))
            uow.record_and_notify(reviewed, EventName.REVIEWED, actor=person)
            return reviewed

        return await self._write(work)

    async def expire_due(self, limit: int = 100) -> Sequence[Request]:
        """Expire the requests that were not approved in time."""
        due = request_queries.expired_requests(self._now(), limit)
        ids = await self._read(lambda uow: list(uow.execute(due).scalars()))
        expired = [await self._expire(request_id) for request_id in ids]
        return [request for request in expired if request]

    async def _expire(self, request_id: str) -> Request | None:
        def work(uow: UnitOfWork) -> Request:
            request = uow.lock(request_id)
            return uow.transition(request, State.AWAITING, State.EXPIRED)

        try:
            return self._report_state(await self._write(work))
        except AlreadyHandled:
            return None  # decided or expired concurrently

    async def prune(self, before: datetime, limit: int = 100) -> int:
        """Delete requests that ended before then, and return how many; their events stay.

        Old announcements are deleted from the outbox, too.
        """
        old_announcements = outbox_queries.prune_announcements(before)
        await self._write(lambda uow: uow.execute(old_announcements))

        def work(uow: UnitOfWork) -> int:
            ended = uow.get_all(request_queries.lock_prunable(before, limit))
            for request in ended:
                uow.record(request, EventName.PRUNED)
            uow.execute(request_queries.delete_requests(request.id for request in ended))
            return len(ended)

        pruned = 0
        while (count := await self._write(work)) == limit:
            pruned += count
        return pruned + count

    def _report_state(self, request: Request) -> Request:
        self._on_state_entered(request.state)
        return request


def _find_or_create(
    uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
) -> Request:
    if earlier := uow.get_or_none(request_queries.SAME_KEY_OR_OPEN, _key_and_job(request)):
        if earlier.key == request.key:
            return earlier
        raise JobAlreadyRequested(earlier)
    uow.add(request)
    detail = _created_detail(request) | _facts_of(uow, request).audit_detail()
    number = uow.record(request, EventName.CREATED, actor=person, detail=detail)
    uow.enqueue_message(request, PostKind.CARD, EventName.CREATED, number, actor=person)
    if request.acted_alone:
        _record_acted_alone(uow, request, person, recipients)
    if request.state is State.APPROVED:
        because = "the requester acted alone" if request.acted_alone else "no approval was needed"
        detail = {"because": because}
        uow.record(request, EventName.APPROVED, detail=detail)
    return request


def _record_acted_alone(
    uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
) -> None:
    """Record that a request runs without approval; tell its thread and each recipient."""
    name = EventName.ACTED_ALONE
    number = uow.record(request, name, actor=person)
    uow.enqueue_message(request, PostKind.REPLY, name, number, actor=person)
    for user in recipients:
        uow.enqueue_message(request, PostKind.DIRECT, name, number, actor=person, recipient=user)


def _key_and_job(request: Request) -> dict[str, str]:
    """Return the parameters of `same_key_or_open`."""
    return {"idempotency_key": request.key, **asdict(request.ref)}


def _created_detail(request: Request) -> dict[str, Any]:
    """Return the detail of `request:created`: ids, what was shown, and the reason."""
    return {
        "project": request.ref.project_id,
        "cluster": request.ref.cluster_name,
        "job": request.ref.job_id,
        "shown": shown_to_json(request.shown),
        "reason": request.reason,
        "approvals_needed": request.approvals_needed,
        "expires_at": request.expires_at.isoformat(),
        "state": request.state.value,
        "asked_in": request.asked_in,
        "channel": request.channel,
    }


def _facts_of(uow: UnitOfWork, request: Request) -> JobFacts:
    shown = request.shown
    return ensure_facts(uow, request.ref, shown.expires_at if shown.link_is_live else None)


def _lock_awaiting(uow: UnitOfWork, request_id: str, check: Check) -> Request:
    """Lock a request that waits for approval, and check the decision."""
    request = uow.lock(request_id)
    if request.state is not State.AWAITING:
        raise AlreadyHandled(request)
    _allowed(check(request))
    if request.expires_at <= uow.now:
        raise RequestExpired(request)
    return request


def _allowed(refusal: NotAllowed | None) -> None:
    if refusal:
        raise refusal
