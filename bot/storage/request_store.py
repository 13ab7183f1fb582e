"""Stores what people and deadlines decide: each method is one transaction and applies the rules."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.atlas import JobRef
from bot.cancellation import decisions, errors
from bot.cancellation.change import DownloadChange
from bot.cancellation.decisions import (
    AutoCancelStep,
    LetRunDecision,
    LetRunResult,
    Submission,
    SubmitResult,
)
from bot.cancellation.download import Download, Fingerprint, LetRun
from bot.cancellation.events import EventName
from bot.cancellation.people import ActingPerson, Person
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Outcome, Request, State
from bot.cancellation.run import end_of_download
from bot.storage import download_rows, request_rows
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

REMIND_AFTER = timedelta(seconds=60)
REQUEST_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submit did, and the request and the download after it."""

    result: SubmitResult
    request: Request
    download: Download


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRequests:
    """Waiting requests for which the time, or their download, demands something."""

    expiring: Sequence[Request]
    to_remind: Sequence[Request]
    ended: Sequence[Request]  #: their downloads have ended


class RequestStore(Store):
    """Every method raises `StorageError`, and `NothingChanged` where somebody else was first."""

    @reads
    def get(self, uow: UnitOfWork, request_id: str) -> Request:
        """Return a request; raises `RequestNotFound`."""
        return request_rows.get(uow, request_id)

    @reads
    def of_download(self, uow: UnitOfWork, project_id: str, job_id: str) -> Sequence[Request]:
        """Return the requests about a download, newest first."""
        return request_rows.of_download(uow, project_id, job_id)

    @reads
    def open_in(self, uow: UnitOfWork, *states: State) -> list[Request]:
        """Return the open requests in these states, oldest first."""
        return request_rows.open_in(uow, *states)

    @reads
    def count_open(self, uow: UnitOfWork) -> int:
        return len(request_rows.open_in(uow, State.AWAITING, State.APPROVED, State.CANCELLING))

    @writes
    def submit(
        self,
        uow: UnitOfWork,
        person: ActingPerson,
        policy: Policy,
        submission: Submission,
    ) -> Submitted:
        """Create a request, or join or decide the open one; raises `CancellationError`.

        The same key gives the same request.
        """
        ref = submission.ref
        read = download_rows.store_job(uow, ref, submission.job, submission.read_at, policy)
        download = read.after
        if repeated := request_rows.with_key(uow, submission.key):
            return Submitted(SubmitResult.CREATED, repeated, download)
        request = request_rows.open_one(uow, ref.project_id, ref.job_id)
        result = decisions.submit(policy, download, request, person, submission)
        download = download_rows.place_message(uow, download, policy, submission.channel)
        if request is None:
            request = self._create(uow, policy, download, person, submission)
        elif result is SubmitResult.APPROVED:
            request = self._approve(
                uow, policy, download, request, person, reason=submission.reason.strip()
            )
        elif result is SubmitResult.STARTED:
            request = self._start(
                uow, policy, download, request, person, reason=submission.reason.strip()
            )
        elif result is SubmitResult.ACTED_ALONE:
            request = self._act_alone(
                uow, policy, download, request, person=person, reason=submission.reason
            )
        if read.shows_link:
            download_rows.notify_of_link(uow, policy, download, request)
        return Submitted(result, request, download)

    @writes
    def approve(
        self, uow: UnitOfWork, request_id: str, person: ActingPerson, policy: Policy
    ) -> Request:
        """Record an approval; with enough of them the request becomes approved."""
        request = request_rows.get(uow, request_id)
        download = download_rows.get(uow, request.ref)
        return self._approve(uow, policy, download, request, person)

    @writes
    def let_run(
        self,
        uow: UnitOfWork,
        ref: JobRef,
        request_id: str | None,
        person: ActingPerson,
        policy: Policy,
        *,
        reason: str,
        feed_is_readable: bool,
    ) -> LetRunDecision:
        """Let a download run; `request_id` is the open request that the person saw, or None."""
        download = download_rows.get(uow, ref)
        request = request_rows.open_one(uow, ref.project_id, ref.job_id)
        if (request.id if request else None) != request_id:
            raise errors.NothingChanged(
                request or request_rows.newest(uow, ref.project_id, ref.job_id)
            )
        decision = decisions.let_run(
            policy,
            download,
            request,
            person,
            now=uow.now,
            reason=reason,
            feed_is_readable=feed_is_readable,
        )
        if decision.ends_auto_cancel:
            download = self._end_auto_cancel(uow, download, person, reason)
        if request is None:
            uow.reply(
                ReplyKind.LET_RUN, policy, download, actor=person.id, detail={"reason": reason}
            )
            return decision
        is_withdrawn = decision.result is LetRunResult.WITHDRAWN
        state = State.WITHDRAWN if is_withdrawn else State.DENIED
        outcome = Outcome(by=person.id, reason=reason)
        self._end(uow, policy, download, request, state=state, outcome=outcome, actor=person)
        return decision

    @writes
    def auto_cancel(self, uow: UnitOfWork, ref: JobRef, policy: Policy) -> AutoCancelStep:
        """Do what the deadline of a download's auto-cancel does."""
        download = download_rows.get(uow, ref)
        request = request_rows.open_one(uow, ref.project_id, ref.job_id)
        step = decisions.auto_cancel(policy, download, request, uow.now)
        if step is not AutoCancelStep.WAIT:
            download = replace(download, auto_cancelled_at=uow.now)
            uow.update_download(download)
            if request is None:
                self._create_automatic(uow, policy, download)
            else:
                request_rows.move(uow, download, request, State.APPROVED, is_automatic=True)
        return step

    @writes
    def expire(self, uow: UnitOfWork, request_id: str, policy: Policy) -> None:
        """End a request that nobody decided in time."""
        request = request_rows.get(uow, request_id)
        if request.state is State.AWAITING and request.expires_at <= uow.now:
            download = download_rows.get(uow, request.ref)
            self._end(uow, policy, download, request, state=State.EXPIRED, outcome=Outcome())

    @writes
    def end_with_download(self, uow: UnitOfWork, request_id: str, policy: Policy) -> None:
        """End a waiting request whose download has ended."""
        request = request_rows.get(uow, request_id)
        download = download_rows.get(uow, request.ref)
        if request.state is State.AWAITING and download.ended:
            state = end_of_download(request, download)
            self._end(uow, policy, download, request, state=state, outcome=Outcome())

    @writes
    def remind(self, uow: UnitOfWork, request_id: str, policy: Policy) -> None:
        """Remind once of a request that waits."""
        request = request_rows.get(uow, request_id)
        if request.state is State.AWAITING and request.reminded_at is None:
            request_rows.change(uow, request, reminded_at=uow.now)
            uow.record(EventName.REMINDED, request)
            download = download_rows.get(uow, request.ref)
            uow.reply(ReplyKind.REMINDER, policy, download, request)

    @writes
    def apply_policy(self, uow: UnitOfWork, request_id: str, policy: Policy) -> None:
        """Judge an open request by the policy of this start."""
        request = request_rows.get(uow, request_id)
        download = download_rows.get(uow, request.ref)
        if not request.is_open:
            return
        state, needed = decisions.state_at_start(policy, download, request, uow.now)
        if state is State.WITHDRAWN:
            self._end(
                uow, policy, download, request, state=state, outcome=Outcome(is_read_only=True)
            )
        elif state is not request.state:
            request_rows.move(uow, download, request, state, needed=needed)
        elif needed != request.needed:
            request_rows.change(uow, request, needed=needed)
            uow.show(request.ref)
            if needed > request.needed:
                uow.reply(ReplyKind.WAITS_AGAIN, policy, download, request)

    @reads
    def due(self, uow: UnitOfWork) -> DueRequests:
        """Return the waiting requests for which something is to be done now."""
        return DueRequests(
            expiring=request_rows.due_to_expire(uow, uow.now),
            to_remind=request_rows.due_to_remind(uow, uow.now - REMIND_AFTER),
            ended=download_rows.awaiting_ended(uow),
        )

    def _create(
        self,
        uow: UnitOfWork,
        policy: Policy,
        download: Download,
        person: Person,
        submission: Submission,
    ) -> Request:
        is_alone = submission.alone and policy.approvals > 0
        needed = 0 if is_alone else decisions.approvals_needed(policy, download, person)
        request = _new_request(
            uow,
            policy,
            download,
            key=submission.key,
            requester=person.id,
            team=person.team,
            reason=submission.reason.strip(),
            shown=submission.shown,
            needed=needed,
            asked_in=submission.asked_in,
            alone=person.id if is_alone else None,
        )
        request_rows.add(uow, download, request, person)
        uow.show(request.ref)
        if is_alone:
            uow.record(EventName.ACTED_ALONE, request, actor=person)
            uow.reply(
                ReplyKind.ACTED_ALONE,
                policy,
                download,
                request,
                actor=person.id,
                detail={"reason": request.reason},
            )
        elif request.state is State.APPROVED:
            uow.record(EventName.APPROVED, request, actor=person)
        else:
            uow.reply(ReplyKind.WAITS, policy, download, request, actor=person.id)
        return request

    def _create_automatic(self, uow: UnitOfWork, policy: Policy, download: Download) -> None:
        request = _new_request(
            uow,
            policy,
            download,
            key=f"auto-cancel {download.ref.project_id} {download.ref.job_id}",
            shown=download.shown,
            is_automatic=True,
        )
        request_rows.add(uow, download, request, None)
        uow.record(EventName.APPROVED, request)
        uow.show(request.ref)

    def _approve(
        self,
        uow: UnitOfWork,
        policy: Policy,
        download: Download,
        request: Request,
        person: Person,
        *,
        reason: str = "",
    ) -> Request:
        is_complete = decisions.approve(policy, download, request, person, now=uow.now)
        given = self._add_approval(uow, policy, download, request, person, reason=reason)
        if is_complete:
            return request_rows.move(
                uow,
                download,
                request,
                State.APPROVED,
                actor=person,
                outcome=Outcome(reason=reason),
                needed=min(request.needed, given),
            )
        detail = _with_reason(reason)
        uow.record(EventName.APPROVAL_GIVEN, request, actor=person, detail=detail)
        uow.show(request.ref)
        return request_rows.get(uow, request.id)

    def _start(
        self,
        uow: UnitOfWork,
        policy: Policy,
        download: Download,
        request: Request,
        person: Person,
        *,
        reason: str,
    ) -> Request:
        """Start a waiting request by a submit that needs no approval, and record who did it."""
        if person.id not in {request.requester, *request.approved_by}:
            self._add_approval(
                uow, policy, download, replace(request, needed=0), person, reason=reason
            )
        outcome = Outcome(reason=reason)
        return request_rows.move(
            uow, download, request, State.APPROVED, actor=person, outcome=outcome, needed=0
        )

    def _add_approval(
        self,
        uow: UnitOfWork,
        policy: Policy,
        download: Download,
        request: Request,
        person: Person,
        *,
        reason: str,
    ) -> int:
        """Add an approval with its reply, and return how many there are."""
        request_rows.add_approval(uow, request, person)
        given = len(request.approvals) + 1
        counts = {"given": given, "needed": max(given, request.needed)}
        detail = {**counts, **_with_reason(reason)}
        uow.reply(ReplyKind.APPROVAL, policy, download, request, actor=person.id, detail=detail)
        return given

    def _act_alone(
        self,
        uow: UnitOfWork,
        policy: Policy,
        download: Download,
        request: Request,
        *,
        person: Person,
        reason: str,
    ) -> Request:
        detail = {"reason": reason}
        uow.reply(ReplyKind.ACTED_ALONE, policy, download, request, actor=person.id, detail=detail)
        return request_rows.move(
            uow,
            download,
            request,
            State.APPROVED,
            event=EventName.ACTED_ALONE,
            actor=person,
            outcome=Outcome(reason=reason),
            alone=person.id,
        )

    def _end_auto_cancel(
        self, uow: UnitOfWork, download: Download, person: Person, reason: str
    ) -> Download:
        """Let a download run."""
        decision = LetRun(by=person.id, at=uow.now, reason=reason)
        before, download = download, replace(download, let_run=decision)
        download_rows.store(uow, [DownloadChange(before, download)])
        ref = download.ref
        detail = {
            "project": ref.project_id,
            "cluster": ref.cluster_name,
            "job": ref.job_id,
            "reason": reason,
        }
        uow.record(EventName.LET_RUN, actor=person, detail=detail)
        uow.show(ref)
        return download

    def _end(
        self,
        uow: UnitOfWork,
        policy: Policy,
        download: Download,
        request: Request,
        *,
        state: State,
        outcome: Outcome,
        actor: Person | None = None,
    ) -> None:
        ended = request_rows.move(uow, download, request, state, actor=actor, outcome=outcome)
        uow.reply(ReplyKind.ENDED, policy, download, ended, actor=actor.id if actor else None)


def _with_reason(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}


def _new_request(
    uow: UnitOfWork,
    policy: Policy,
    download: Download,
    *,
    key: str,
    shown: Fingerprint,
    requester: str | None = None,
    team: str = "",
    reason: str = "",
    needed: int = 0,
    asked_in: str | None = None,
    alone: str | None = None,
    is_automatic: bool = False,
) -> Request:
    return Request(
        id=secrets.token_hex(REQUEST_ID_BYTES),
        key=key,
        ref=download.ref,
        state=State.AWAITING if needed else State.APPROVED,
        requester=requester,
        team=team,
        reason=reason,
        shown=shown,
        needed=needed,
        created_at=uow.now,
        changed_at=uow.now,
        expires_at=uow.now + policy.approval_ttl,
        asked_in=asked_in,
        alone=alone,
        is_automatic=is_automatic,
    )
