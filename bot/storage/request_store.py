"""Requests and decisions. Each change is one transaction with its audit events and messages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

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
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import UNDECIDED, Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.request_context import new_request_id
from bot.storage.new_requests import find_or_create
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.store import Store, reads, writes
from bot.storage.unit_of_work import UnitOfWork

#: Checks a decision while the request's row is locked.
Check = Callable[[Request], NotAllowed | None]


class RequestStore(Store):
    """Creates requests, records decisions, and expires and prunes requests."""

    @reads
    def get(self, uow: UnitOfWork, request_id: str) -> Request:
        """Read one request; raises `RequestNotFound`."""
        return uow.get(request_id)

    @reads
    def open_request_for(self, uow: UnitOfWork, ref: JobRef) -> Request | None:
        """Find the open request for a job."""
        return uow.get_or_none(request_queries.open_request_for(ref))

    @reads
    def newest_request_for(self, uow: UnitOfWork, ref: JobRef) -> Request | None:
        """Find the last request for a job, whether it has ended or not."""
        return uow.get_or_none(request_queries.newest_request_for(ref))

    @reads
    def count_open(self, uow: UnitOfWork) -> int:
        """Count the requests that have not ended."""
        return int(uow.execute(request_queries.COUNT_OPEN).scalar_one())

    @reads
    def count_unreviewed(self, uow: UnitOfWork) -> int:
        """Count the requests that ran without approval and were not reviewed."""
        return int(uow.execute(request_queries.COUNT_UNREVIEWED).scalar_one())

    async def create(
        self, request: Request, person: Person, recipients: Sequence[str] = ()
    ) -> Request:
        """Record a new request, with its audit events and its card.

        `recipients` are the users who get a direct message about it, if it was acted alone.

        Returns:
            the request; if its key exists already, the earlier request as it is now.

        Raises:
            JobAlreadyRequested: another open request is for the same job.
            LedgerError: the database did not answer, or refused the write.
        """
        try:
            return await self._find_or_create(request, person, recipients)
        except Conflict:
            # Another dialog had the same id.
            request = replace(request, id=new_request_id())
            return await self._find_or_create(request, person, recipients)

    @writes
    def _find_or_create(
        self, uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
    ) -> Request:
        return find_or_create(uow, request, person, recipients)

    @writes
    def approve(
        self,
        uow: UnitOfWork,
        request_id: str,
        person: Person,
        check: Check,
        judge: Callable[[Request], Judgement],
    ) -> Request:
        """Record an approval; the last one needed lets the request run.

        `judge` judges the requester and the earlier approvals again.
        """
        request = _lock_undecided(uow, request_id, check)
        request = uow.apply_judgement(request, judge(request))
        uow.execute(request_queries.delete_approvals(request.id, person.id))  # a voided one
        approval = {"request": request.id, "user": person.id, "at": uow.now}
        uow.execute(request_queries.NEW_APPROVAL, approval)
        others = request.approved_by - {person.id}
        if request.approvals_needed - len(others) > 1:
            uow.record_and_notify(request, EventName.APPROVAL_GIVEN, actor=person)
            return uow.get(request_id)
        return uow.transition(request, request.state, State.APPROVED, actor=person)

    @writes
    def deny(
        self, uow: UnitOfWork, request_id: str, person: Person, reason: str, check: Check
    ) -> Request:
        """Deny a waiting request."""
        request = _lock_undecided(uow, request_id, check)
        outcome = Outcome(sentence=reason, by=person.id)
        return uow.transition(request, State.AWAITING, State.DENIED, actor=person, outcome=outcome)

    @writes
    def keep(
        self, uow: UnitOfWork, request_id: str, person: Person, reason: str, check: Check
    ) -> Request:
        """Let a quarantined download go on."""
        request = _lock_undecided(uow, request_id, check)
        outcome = Outcome(sentence=reason, by=person.id)
        quarantined, kept = State.QUARANTINED, State.KEPT
        return uow.transition(request, quarantined, kept, actor=person, outcome=outcome)

    @writes
    def withdraw(self, uow: UnitOfWork, request_id: str, person: Person, check: Check) -> Request:
        """Withdraw a waiting request."""
        request = _lock_undecided(uow, request_id, check)
        by = Outcome(by=person.id)
        return uow.transition(request, State.AWAITING, State.WITHDRAWN, actor=person, outcome=by)

    @writes
    def retry(
        self,
        uow: UnitOfWork,
        request_id: str,
        person: Person,
        check: Check,
        *,
        needed_for: Callable[[Request], int],
        ttl: timedelta,
    ) -> Request:
        """Let a failed request run again; where approvals are needed, it waits for new ones.

        `needed_for` returns the number of approvals that the request needs now, within `ttl`.

        Raises:
            AlreadyHandled: the request has not failed, or runs again already.
            JobAlreadyRequested: another open request is for the same job.
        """
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
        uow.execute(request_queries.run_again(request.id, needed, expires_at))
        uow.execute(request_queries.delete_approvals(request.id))
        if request.by_bot:
            approval = {"request": request.id, "user": person.id, "at": uow.now}
            uow.execute(request_queries.NEW_APPROVAL, approval)
            approved = State.APPROVED
            return uow.transition(request, State.FAILED, approved, actor=person, notify=False)
        # No actor: a retry is not an approval.
        state = State.AWAITING if needed else State.APPROVED
        return uow.transition(request, State.FAILED, state, notify=False)

    @writes
    def review(self, uow: UnitOfWork, request_id: str, person: Person, check: Check) -> Request:
        """Record who reviewed what was done without approval.

        Raises:
            AlreadyReviewed: another person was first.
        """
        request = uow.lock(request_id)
        if not request.unreviewed:
            raise AlreadyReviewed(request)
        _allowed(check(request))
        reviewed = replace(request, reviewed_by=person.id, reviewed_at=uow.now)
        values = {"reviewed_by": person.id, "reviewed_at": uow.now}
        uow.execute(request_queries.update_request(request_id, **values))
        uow.record_and_notify(reviewed, EventName.REVIEWED, actor=person)
        return reviewed

    async def expire_due(self, limit: int = 100) -> Sequence[Request]:
        """Expire the requests that were not approved in time."""
        expired = [await self._expire_or_none(request_id) for request_id in await self._due(limit)]
        return [request for request in expired if request]

    @reads
    def _due(self, uow: UnitOfWork, limit: int) -> Sequence[str]:
        return list(uow.execute(request_queries.expired_requests(uow.now, limit)).scalars())

    async def _expire_or_none(self, request_id: str) -> Request | None:
        try:
            return await self._expire(request_id)
        except AlreadyHandled:
            return None  # decided or expired concurrently

    @writes
    def _expire(self, uow: UnitOfWork, request_id: str) -> Request:
        return uow.transition(uow.lock(request_id), State.AWAITING, State.EXPIRED)

    async def prune(self, before: datetime, limit: int = 100) -> int:
        """Delete requests that ended before then, and return how many; their events stay.

        Old announcements are deleted from the outbox, too.
        """
        old_announcements = outbox_queries.prune_announcements(before)
        await self._write(lambda uow: uow.execute(old_announcements))
        pruned = 0
        while (count := await self._prune(before, limit)) == limit:
            pruned += count
        return pruned + count

    @writes
    def _prune(self, uow: UnitOfWork, before: datetime, limit: int) -> int:
        ended = uow.get_all(request_queries.lock_prunable(before, limit))
        for request in ended:
            uow.record(request, EventName.PRUNED)
        uow.execute(request_queries.delete_requests(request.id for request in ended))
        return len(ended)


def _lock_undecided(uow: UnitOfWork, request_id: str, check: Check) -> Request:
    """Lock a request that waits for a decision of people, and check the decision."""
    request = uow.lock(request_id)
    if request.state not in UNDECIDED:
        raise AlreadyHandled(request)
    _allowed(check(request))
    if request.state is State.AWAITING and request.expires_at <= uow.now:
        raise RequestExpired(request)
    return request


def _allowed(refusal: NotAllowed | None) -> None:
    if refusal:
        raise refusal
