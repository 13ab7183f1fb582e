"""Reads and writes the rows of downloads within a transaction."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import exists, select, text

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.download import Download, auto_cancel_time, new_download
from bot.cancellation.errors import RequestNotFound
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind, link_needs_decision
from bot.cancellation.request import Request, State
from bot.storage import request_rows, tables
from bot.storage.tables import download_from_row, downloads, requests, watches
from bot.storage.unit_of_work import UnitOfWork

#: The condition of the partial index of running downloads, word for word.
GOES_ON = text(tables.GOES_ON)
_HAS_REQUEST = (
    requests.c.project_id == downloads.c.project_id,
    requests.c.job_id == downloads.c.job_id,
    text(f"requests.{tables.IS_OPEN}"),
)
_WAITS = requests.c.state == str(State.AWAITING)
#: Whether a request about a download runs.
IS_RUN = exists().where(*_HAS_REQUEST, ~_WAITS)


def get(uow: UnitOfWork, ref: JobRef) -> Download:
    """Return a stored download; raises `RequestNotFound`."""
    if download := uow.download(ref.project_id, ref.job_id):
        return download
    raise RequestNotFound


def going_on(uow: UnitOfWork, project_id: str | None = None) -> list[Download]:
    """Return the downloads that Atlas's last answers show as going on, oldest first."""
    statement = select(downloads).where(GOES_ON).order_by(downloads.c.job_id)
    if project_id is not None:
        statement = statement.where(downloads.c.project_id == project_id)
    return [download_from_row(row) for row in uow.execute(statement)]


def awaiting_ended(uow: UnitOfWork) -> list[Request]:
    """Return the waiting requests whose downloads do not go on, by Atlas's last answers."""
    has_ended = text(f"NOT ({tables.GOES_ON})")
    statement = select(requests).where(*_HAS_REQUEST, _WAITS, has_ended)
    return request_rows.load(uow, statement)


def watch_start(uow: UnitOfWork, project_id: str) -> datetime | None:
    started = select(watches.c.started_at).where(watches.c.project_id == project_id)
    moment: datetime | None = uow.execute(started).scalar()
    return moment


def store_job(
    uow: UnitOfWork, ref: JobRef, job: RestoreJob, read_at: datetime, policy: Policy
) -> Download:
    """Store an answer about a job, and let its message show what changed; return the download.

    The first answer also sets the auto-cancel time.
    """
    before = uow.download(ref.project_id, ref.job_id)
    if before is None:
        download = new_download(ref, job, read_at=read_at, now=uow.now)
        start = watch_start(uow, ref.project_id)
        due_at = auto_cancel_time(download, policy, start, uow.now)
        download = replace(download, auto_cancel_at=due_at)
        uow.add_download(download)
        return download
    after = before.observed(job, read_at)
    if after != before:
        uow.update_download(after)
    if after.link(after.read_at) != before.link(before.read_at) or after.ended != before.ended:
        uow.show(ref)
    return after


def place_message(
    uow: UnitOfWork, download: Download, policy: Policy, channel: str | None = None
) -> Download:
    """Give a download's message its channel, where it has none yet, and let it be posted."""
    place = policy.channel or channel
    if download.channel is not None or place is None:
        return download
    placed = replace(download, channel=place)
    uow.update_download(placed)
    uow.show(placed.ref)
    return placed


def notify_of_link(uow: UnitOfWork, policy: Policy, download: Download) -> None:
    """Reply once that the link is live, where nobody has decided about the download."""
    request = request_rows.newest(uow, download.ref.project_id, download.ref.job_id)
    if link_needs_decision(download, request):
        uow.reply(ReplyKind.LINK_LIVE, policy, download, request)


def notify_of_end(uow: UnitOfWork, policy: Policy, download: Download) -> None:
    """Reply that a download ended after a live link, where no open request tells it."""
    request = request_rows.newest(uow, download.ref.project_id, download.ref.job_id)
    has_open = request is not None and request.is_open
    was_let_run = download.let_run is not None or (
        request is not None and request.state in {State.DENIED, State.WITHDRAWN}
    )
    if download.link_existed and not has_open and not was_let_run:
        uow.reply(ReplyKind.ENDED, policy, download)


def mark_gone(uow: UnitOfWork, download: Download) -> Download:
    """Store that Atlas has no such job any more."""
    gone = replace(download, is_gone=True)
    uow.update_download(gone)
    uow.show(gone.ref)
    return gone
