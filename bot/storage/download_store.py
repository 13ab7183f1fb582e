"""Stores what Atlas says about downloads: lists of the watch, single reads, and the feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, or_, select

from bot.atlas import DeliveryType, JobRef, RestoreJob
from bot.cancellation.change import DownloadChange
from bot.cancellation.download import SET_BACK, Download, is_new
from bot.cancellation.policy import Policy
from bot.cancellation.request import OPEN, Request
from bot.cancellation.starter import READ_AGAIN_FOR, Starters
from bot.storage import download_rows, request_rows
from bot.storage.tables import download_from_row, downloads, replies, requests, watches
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

KEEP_FOR = timedelta(days=90)  #: after which ended downloads and their requests are deleted
DELETE_AT_ONCE = 200  #: rows in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The restore jobs of one cluster, as one read of the watch has them."""

    project_id: str
    cluster: str
    jobs: Sequence[RestoreJob]
    read_at: datetime  #: when the read began


class DownloadStore(Store):
    """Every method raises `StorageError`."""

    @writes
    def start_watch(self, uow: UnitOfWork, project_id: str, at: datetime) -> datetime:
        """Return the first start of a project's watch, which is stored once."""
        if started := download_rows.watch_start(uow, project_id):
            return started
        uow.execute(insert(watches), {"project_id": project_id, "started_at": at})
        return at

    @reads
    def get(self, uow: UnitOfWork, project_id: str, job_id: str) -> Download | None:
        return uow.download(project_id, job_id)

    @reads
    def with_request(
        self, uow: UnitOfWork, project_id: str, job_id: str
    ) -> tuple[Download | None, Request | None]:
        """Return a download and its open or last request."""
        return uow.download(project_id, job_id), request_rows.newest(uow, project_id, job_id)

    @reads
    def going_on(self, uow: UnitOfWork) -> list[Download]:
        """Return the downloads that Atlas's last answers show as going on."""
        return download_rows.going_on(uow)

    @writes
    def show_again(self, uow: UnitOfWork) -> None:
        """Let the messages of these downloads show what the settings of this start change."""
        for download in download_rows.going_on(uow):
            if download.ts:
                uow.show(download.ref)

    @reads
    def due_to_auto_cancel(self, uow: UnitOfWork) -> list[Download]:
        """Return the downloads whose auto-cancel time has come and is not used.

        While a request runs, its end is awaited.
        """
        is_due = (
            or_(downloads.c.auto_cancel_at <= uow.now, downloads.c.stored_at > uow.now + SET_BACK),
            downloads.c.auto_cancel_at.is_not(None),
            downloads.c.auto_cancelled_at.is_(None),
            downloads.c.let_run_at.is_(None),
            ~download_rows.IS_RUN,
        )
        statement = select(downloads).where(download_rows.GOES_ON, *is_due)
        return [download_from_row(row) for row in uow.execute(statement)]

    @writes
    def record_listing(
        self, uow: UnitOfWork, listing: Listing, policy: Policy
    ) -> Sequence[Download]:
        """Store a list of a cluster's jobs: announce new downloads, follow the stored ones.

        Return those that were not stored before.
        """
        stored = self._store(uow, policy, self._answers(uow, listing, policy))
        return [change.after for change in stored if change.before is None]

    @writes
    def record_job(
        self, uow: UnitOfWork, ref: JobRef, job: RestoreJob, read_at: datetime, policy: Policy
    ) -> None:
        """Store a read of one download that is stored already."""
        if before := uow.download(ref.project_id, ref.job_id):
            self._store(uow, policy, [DownloadChange(before, before.observed(job, read_at))])

    @writes
    def record_gone(self, uow: UnitOfWork, ref: JobRef, policy: Policy) -> None:
        """Store that Atlas has no such job any more."""
        before = uow.download(ref.project_id, ref.job_id)
        if before and not before.ended:
            self._store(uow, policy, [DownloadChange(before, replace(before, is_gone=True))])

    @writes
    def record_starters(
        self, uow: UnitOfWork, project_id: str, starters: Mapping[str, Starters]
    ) -> None:
        """Store what the feed shows about the starts of downloads, by their job ids."""
        for job_id, found in starters.items():
            before = uow.download(project_id, job_id)
            if before is None or (merged := before.starters.merged(found)) == before.starters:
                continue
            uow.update_download(replace(before, starters=merged))
            if _as_shown(before) != _as_shown(replace(before, starters=merged)):
                uow.show(before.ref)

    @reads
    def without_final_starters(self, uow: UnitOfWork, project_id: str) -> list[Download]:
        """Return the stored downloads whose events the feed may show later.

        Also those for which *Let it run* waits until the feed covers their starts, however long the
        feed was away.
        """
        recent = downloads.c.stored_at >= uow.now - 2 * READ_AGAIN_FOR
        # By the time alone, which has an index: a project may have a long history.
        stored = map(download_from_row, uow.execute(select(downloads).where(recent)))
        going = download_rows.going_on(uow, project_id)
        found = [item for item in stored if not _has_final_starters(item)]
        found += [item for item in going if item.open_time and not _has_starters(item)]
        return list(
            {item.ref: item for item in found if item.ref.project_id == project_id}.values()
        )

    @writes
    def delete_old(self, uow: UnitOfWork) -> int:
        """Delete a batch of downloads that ended long ago; events stay. Return how many went."""
        of_request = (
            requests.c.project_id == downloads.c.project_id,
            requests.c.job_id == downloads.c.job_id,
            requests.c.state.in_([str(state) for state in OPEN]),
        )
        is_old = (
            downloads.c.stored_at < uow.now - KEEP_FOR,
            ~select(requests.c.id).where(*of_request).exists(),
        )
        statement = select(downloads.c.project_id, downloads.c.job_id).where(*is_old)
        rows = uow.execute(statement.limit(DELETE_AT_ONCE)).all()
        for project_id, job_id in rows:
            request_rows.delete_of_download(uow, project_id, job_id)
            for table in (replies, downloads):
                of = (table.c.project_id == project_id, table.c.job_id == job_id)
                uow.execute(delete(table).where(*of))
        return len(rows)

    def _answers(self, uow: UnitOfWork, listing: Listing, policy: Policy) -> list[DownloadChange]:
        """Return the downloads of a list that are stored or to announce, oldest first.

        A cluster may have thousands of old jobs: the others cost no statement.
        """
        watch_started_at = download_rows.watch_start(uow, listing.project_id)
        jobs = [job for job in reversed(listing.jobs) if job.delivery_type == DeliveryType.DOWNLOAD]
        stored = download_rows.stored(uow, listing.project_id, [job.id for job in jobs])
        answers: list[DownloadChange] = []
        for job in jobs:
            if before := stored.get(job.id):
                after = before.observed(job, listing.read_at)
                timed = download_rows.with_time(uow, after, policy, watch_started_at)
                answers.append(DownloadChange(before, timed))
                continue
            ref = JobRef(listing.project_id, job.cluster_name or listing.cluster, job.id)
            if not job.is_over or _is_announced_late(ref, watch_started_at, uow.now):
                first = download_rows.first_answer(
                    uow, ref, job, listing.read_at, policy, watch_started_at=watch_started_at
                )
                answers.append(first)
        return answers

    def _store(
        self, uow: UnitOfWork, policy: Policy, answers: Sequence[DownloadChange]
    ) -> Sequence[DownloadChange]:
        """Store answers: announce what is new, and reply to a live link and to an end."""
        placed = (
            replace(item, after=download_rows.placed(item.after, policy.channel))
            for item in answers
        )
        stored = download_rows.store(uow, placed)
        told = [item.after.ref for item in stored if item.shows_link or item.has_ended]
        newest = request_rows.newest_by_job(uow, told)
        for item in stored:
            request = newest.get(item.after.ref.job_id)
            if item.shows_link:
                download_rows.notify_of_link(uow, policy, item.after, request)
            if item.has_ended:
                download_rows.notify_of_end(uow, policy, item.after, request)
        return stored


def _is_announced_late(ref: JobRef, watch_started_at: datetime | None, now: datetime) -> bool:
    """Whether an ended download that is not stored is announced: not one whose row was deleted."""
    return is_new(ref, watch_started_at, now) and ref.started_at >= now - KEEP_FOR


def _as_shown(download: Download) -> tuple[object, ...]:
    """Return what the message of a download tells of its starters."""
    starters = download.starters
    is_read = starters.read_at is not None
    return starters.names, is_read, bool(starters.names) or _has_starters(download)


def _has_starters(download: Download) -> bool:
    return download.starters.covers(download.started_at)


def _has_final_starters(download: Download) -> bool:
    read_at = download.starters.read_at
    return read_at is not None and read_at >= download.stored_at + READ_AGAIN_FOR
