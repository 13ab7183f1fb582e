"""Reads and writes the rows of downloads within a transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import exists, select, text

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.change import DownloadChange
from bot.cancellation.download import Download, auto_cancel_time, is_new, new_download
from bot.cancellation.errors import RequestNotFound
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind, link_needs_decision
from bot.cancellation.request import Request, State
from bot.storage import request_rows, tables
from bot.storage.tables import download_from_row, downloads, requests, watches
from bot.storage.unit_of_work import UnitOfWork, batches

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


def stored(uow: UnitOfWork, project_id: str, job_ids: Sequence[str]) -> dict[str, Download]:
    """Return those of a project's downloads that are stored, by their job ids."""
    found: dict[str, Download] = {}
    for ids in batches(job_ids):
        is_one = (downloads.c.project_id == project_id, downloads.c.job_id.in_(ids))
        rows = uow.execute(select(downloads).where(*is_one))
        found |= {row.job_id: download_from_row(row) for row in rows}
    return found


def store_job(
    uow: UnitOfWork, ref: JobRef, job: RestoreJob, read_at: datetime, policy: Policy
) -> DownloadChange:
    """Store an answer about a job, and let its message show what changed."""
    before = uow.download(ref.project_id, ref.job_id)
    if before is None:
        start = watch_start(uow, ref.project_id)
        change = first_answer(uow, ref, job, read_at, policy, watch_started_at=start)
    else:
        change = DownloadChange(before, before.observed(job, read_at))
    store(uow, [change])
    return change


def first_answer(
    uow: UnitOfWork,
    ref: JobRef,
    job: RestoreJob,
    read_at: datetime,
    policy: Policy,
    *,
    watch_started_at: datetime | None,
) -> DownloadChange:
    """Return the download of a job that is not stored yet, with its auto-cancel time."""
    first = new_download(ref, job, read_at=read_at, now=uow.now)
    due_at = auto_cancel_time(first, policy, watch_started_at, uow.now)
    return first_seen(replace(first, auto_cancel_at=due_at), watch_started_at)


def first_seen(download: Download, watch_started_at: datetime | None) -> DownloadChange:
    """Return the change that stored a download first."""
    return DownloadChange(
        None, download, is_new(download.ref, watch_started_at, download.stored_at)
    )


def with_time(
    uow: UnitOfWork, download: Download, policy: Policy, watch_started_at: datetime | None
) -> Download:
    """Return a stored download that is listed, with the auto-cancel time that it did not get.

    The command line stored it by a policy without auto-cancel, or the bot did before a restart.
    """
    due_at = auto_cancel_time(download, policy, watch_started_at, uow.now)
    if due_at is None:
        return download
    requests_of_it = request_rows.of_download(uow, download.ref.project_id, download.ref.job_id)
    was_let_run = any(request.state is State.DENIED for request in requests_of_it)
    return download if was_let_run else replace(download, auto_cancel_at=due_at)


def store(uow: UnitOfWork, changes: Iterable[DownloadChange]) -> Sequence[DownloadChange]:
    """Write what differs by at most three statements, let messages show it, and return it."""
    different = [item for item in changes if _differs(item.before, item.after)]
    uow.add_download(*(item.after for item in different if item.before is None))
    uow.update_download(*(item.after for item in different if item.before))
    uow.show(*(item.after.ref for item in different if _is_shown(item.before, item.after)))
    uow.changes += different
    return different


def _differs(before: Download | None, after: Download) -> bool:
    if before and after.ended:  # the time of its last read is not needed any more
        return before != replace(after, read_at=before.read_at)
    return before != after


def _is_shown(before: Download | None, after: Download) -> bool:
    if before is None:
        return after.channel is not None
    return any(
        (
            before.channel != after.channel,
            before.link(before.read_at) != after.link(after.read_at),
            before.ended != after.ended,
            before.auto_cancel_at != after.auto_cancel_at,
        )
    )


def place_message(
    uow: UnitOfWork, download: Download, policy: Policy, channel: str | None = None
) -> Download:
    """Give a download's message its channel, where it has none yet, and let it be posted."""
    after = placed(download, policy.channel or channel)
    store(uow, [DownloadChange(download, after)])
    return after


def placed(download: Download, channel: str | None) -> Download:
    """Return a download with the channel of its message, which it gets once."""
    return replace(download, channel=download.channel or channel)


def notify_of_link(
    uow: UnitOfWork, policy: Policy, download: Download, request: Request | None
) -> None:
    """Reply once that the link is live, where nobody has decided; `request` is the newest."""
    if link_needs_decision(download, request):
        uow.reply(ReplyKind.LINK_LIVE, policy, download, request)


def notify_of_end(
    uow: UnitOfWork, policy: Policy, download: Download, request: Request | None
) -> None:
    """Reply that a download ended after a live link, where no open request tells it."""
    has_open = request is not None and request.is_open
    was_let_run = download.let_run is not None or (
        request is not None and request.state in {State.DENIED, State.WITHDRAWN}
    )
    if download.link_existed and not has_open and not was_let_run:
        uow.reply(ReplyKind.ENDED, policy, download)
