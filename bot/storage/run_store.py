"""Stores the steps of a run: each DELETE is recorded before it is sent, and its answer after."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from bot.atlas import RestoreJob
from bot.cancellation.change import DownloadChange
from bot.cancellation.decisions import Judgement
from bot.cancellation.download import Download
from bot.cancellation.events import EventName
from bot.cancellation.people import is_operator
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import RUNNING, Attempts, Ending, Request, State
from bot.storage import download_rows, request_rows
from bot.storage.tables import replies
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes


class RunStore(Store):
    """Every method raises `StorageError`, and `NothingChanged` where the request has moved."""

    @reads
    def running(self, uow: UnitOfWork) -> list[Request]:
        """Return the requests that must run: after a restart all of them run again."""
        return request_rows.open_in(uow, *RUNNING)

    @reads
    def download_of(self, uow: UnitOfWork, request: Request) -> Download:
        return download_rows.get(uow, request.ref)

    @writes
    def begin(self, uow: UnitOfWork, request_id: str) -> Request:
        """Begin a run, or continue one: an attempt without an answer may have taken effect."""
        request = request_rows.get(uow, request_id)
        if request.state is State.APPROVED:
            download = download_rows.get(uow, request.ref)
            if is_operator(request.requester) and download.stored_at == request.created_at:
                # The command line stored it first, and has reported nothing.
                start = download_rows.watch_start(uow, request.ref.project_id)
                uow.changes.append(download_rows.first_seen(download, start))
            # What held at the decision counts for some minutes from then, also after a restart.
            request = request_rows.move(
                uow,
                download,
                request,
                State.CANCELLING,
                changed_at=request.changed_at,
                run_started_at=request.changed_at,
            )
        return request

    @writes
    def record_read(
        self, uow: UnitOfWork, request: Request, job: RestoreJob, read_at: datetime, policy: Policy
    ) -> Download:
        """Store what a read of the run showed."""
        return download_rows.store_job(uow, request.ref, job, read_at, policy).after

    @writes
    def record_sent(self, uow: UnitOfWork, request: Request) -> Request:
        """Record a DELETE before it is sent: without an answer it may have taken effect."""
        attempts = replace(request.attempts, count=request.attempts.count + 1, is_unknown=True)
        uow.record(EventName.CANCEL_SENT, request, detail={"attempt": attempts.count})
        return request_rows.set_attempts(uow, request, attempts)

    @writes
    def record_answer(
        self, uow: UnitOfWork, request: Request, attempts: Attempts, answer: Mapping[str, Any]
    ) -> Request:
        """Record Atlas's answer to a DELETE, or that none came."""
        uow.record(EventName.CANCEL_ANSWERED, request, detail=answer)
        return request_rows.set_attempts(uow, request, attempts)

    @writes
    def record_trouble(
        self, uow: UnitOfWork, request: Request, trouble: str, policy: Policy, *, is_long: bool
    ) -> Request:
        """Show what a run waits for; `is_long` adds, once, the reply that asks people to look."""
        request_rows.change(uow, request, trouble=trouble)
        uow.show(request.ref)
        if is_long and not _has_called_people(uow, request):
            download = download_rows.get(uow, request.ref)
            detail = {"trouble": trouble}
            uow.reply(ReplyKind.TROUBLE, policy, download, request, detail=detail)
        return replace(request, trouble=trouble)

    @writes
    def settle(
        self,
        uow: UnitOfWork,
        request: Request,
        ending: Ending,
        policy: Policy,
        *,
        job: RestoreJob | None = None,
        read_at: datetime | None = None,
        is_gone: bool = False,
    ) -> None:
        """End a run, with the answer that shows the end; `is_gone`: Atlas has no such job."""
        before = after = download_rows.get(uow, request.ref)
        if is_gone:
            after = replace(before, is_gone=True)
            download_rows.store(uow, [DownloadChange(before, after)])
        if job and read_at:
            after = download_rows.store_job(uow, request.ref, job, read_at, policy).after
        ended = request_rows.move(uow, after, request, ending.state, outcome=ending.outcome)
        uow.reply(ReplyKind.ENDED, policy, after, ended)

    @writes
    def await_again(
        self, uow: UnitOfWork, request: Request, judgement: Judgement, policy: Policy
    ) -> Request:
        """Let a request wait on for approvals, since some do not count any more.

        The next run is a new one, with the whole time of a run.
        """
        download = download_rows.get(uow, request.ref)
        for user in sorted(judgement.voided):
            request_rows.remove_approval(uow, request, user)
        waiting = request_rows.move(
            uow,
            download,
            request,
            State.AWAITING,
            needed=judgement.needed,
            expires_at=max(request.expires_at, uow.now + policy.approval_ttl),
            alone=None,
            run_started_at=None,
        )
        detail = {"voided": sorted(judgement.voided)}
        uow.reply(ReplyKind.WAITS_AGAIN, policy, download, waiting, detail=detail)
        return waiting


def _has_called_people(uow: UnitOfWork, request: Request) -> bool:
    of = (replies.c.project_id == request.ref.project_id, replies.c.job_id == request.ref.job_id)
    is_call = (replies.c.request == request.id, replies.c.kind == str(ReplyKind.TROUBLE))
    return uow.execute(select(replies.c.id).where(*of, *is_call)).first() is not None
