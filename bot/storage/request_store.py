"""Requests and decisions. Each change is one transaction with its audit events and messages."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
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
from bot.storage.job_facts_rows import ensure_facts
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.store import Store, reads, writes
from bot.storage.tables import shown_to_json
from bot.storage.unit_of_work import UnitOfWork

#: Why a new request is approved.
ACTED_ALONE = "the requester acted alone"
NO_APPROVAL_NEEDED = "no approval was needed"

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
        key_and_job = {"idempotency_key": request.key, **asdict(request.ref)}
        if earlier := uow.get_or_none(request_queries.SAME_KEY_OR_OPEN, key_and_job):
            if earlier.key == request.key:
                return earlier
            raise JobAlreadyRequested(earlier)
        uow.add(request)
        detail = _created_detail(request) | _facts_of(uow, request).audit_detail()
        created = uow.record(request, EventName.CREATED, actor=person, detail=detail)
        uow.enqueue_message(request, PostKind.CARD, created)
        if request.acted_alone:
            _record_acted_alone(uow, request, person, recipients)
        if request.state is State.APPROVED:
            because = ACTED_ALONE if request.acted_alone else NO_APPROVAL_NEEDED
            uow.record(request, EventName.APPROVED, detail={"because": because})
        return request

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
        request = _lock_awaiting(uow, request_id, check)
        request = uow.apply_judgement(request, judge(request))
        uow.execute(request_queries.delete_approvals(request.id, person.id))  # a voided one
        approval = {"request": request.id, "user": person.id, "at": uow.now}
        uow.execute(request_queries.NEW_APPROVAL, approval)
        others = request.approved_by - {person.id}
        if request.approvals_needed - len(others) > 1:
            uow.record_and_notify(request, EventName.APPROVAL_GIVEN, actor=person)
            return uow.get(request_id)
        return uow.transition(request, State.AWAITING, State.APPROVED, actor=person)

    @writes
    def deny(
        self, uow: UnitOfWork, request_id: str, person: Person, reason: str, check: Check
    ) -> Request:
        """Deny a waiting request."""
        request = _lock_awaiting(uow, request_id, check)
        outcome = Outcome(sentence=reason, by=person.id)
        return uow.transition(request, State.AWAITING, State.DENIED, actor=person, outcome=outcome)

    @writes
    def withdraw(self, uow: UnitOfWork, request_id: str, person: Person, check: Check) -> Request:
        """Withdraw a waiting request."""
        request = _lock_awaiting(uow, request_id, check)
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


def _record_acted_alone(
    uow: UnitOfWork, request: Request, person: Person, recipients: Sequence[str]
) -> None:
    """Record that a request runs without approval; tell its thread and each recipient."""
    event = uow.record(request, EventName.ACTED_ALONE, actor=person)
    uow.enqueue_message(request, PostKind.REPLY, event)
    for user in recipients:
        uow.enqueue_message(request, PostKind.DIRECT, event, recipient=user)


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
