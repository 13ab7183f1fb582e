"""The watch's state: leases on projects, known clusters and jobs, announcements to send."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.atlas import JobRef, JobState, RestoreJob
from bot.cancellation.lifecycle import Card, State
from bot.cancellation.posts import PostKind, message_id
from bot.cancellation.watched_job import (
    OPEN,
    JobChange,
    RecordedJob,
    WatchedJob,
    WatchedState,
    compare,
)
from bot.storage.database import Database
from bot.storage.job_facts_rows import ensure_facts, get_facts
from bot.storage.quarantine_store import Holding, QuarantineStore
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.queries import watch as watch_queries
from bot.storage.store import Store, writes
from bot.storage.tables import shown_from_json, shown_to_json, watched_jobs
from bot.storage.unit_of_work import UnitOfWork

#: How long a replica watches a project without renewing its lease.
LEASE = timedelta(seconds=20)

#: After a longer pause the watch forgets the clusters, and announces no jobs of that time.
FORGET_AFTER = timedelta(days=7)

#: Announcements are claimed after all posts about requests.
ANNOUNCEMENT_PRIORITY = 1


class WatchStore(Store):
    """The watch's tables.

    Args:
        owner: the name of this process, different at each start.
        quarantine: quarantines new downloads in the transaction that records them.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        owner: str,
        quarantine: QuarantineStore | None = None,
        on_state_entered: Callable[[State], None] = lambda _state: None,
    ) -> None:
        super().__init__(database, now, on_state_entered)
        self._owner = owner
        self._quarantine = quarantine

    @writes
    def acquire(self, uow: UnitOfWork, project_id: str) -> bool:
        """Acquire or renew the lease on a project; False while another replica holds it."""
        lease = {"lease_owner": self._owner, "lease_until": uow.now + LEASE}
        before = uow.execute(watch_queries.lease_of(project_id)).first()
        if before is None:
            uow.execute(watch_queries.NEW_LEASE, {"project_id": project_id, **lease})
            return True
        is_free = watch_queries.is_free(self._owner, uow.now)
        if not uow.execute(watch_queries.update_lease(project_id, is_free, **lease)).first():
            return False
        if before.lease_until < uow.now - FORGET_AFTER:
            uow.execute(watch_queries.forget_clusters(project_id))
        return True

    @writes
    def release(self, uow: UnitOfWork, project_id: str) -> None:
        """End the lease, so that another replica continues at once."""
        self._set_lease(uow, project_id, uow.now)

    async def has_feed_gap(self, project_id: str) -> bool:
        """Return whether the activity feed was seen not to show a download."""
        lease = watch_queries.lease_of(project_id)
        row = await self._read(lambda uow: uow.execute(lease).first())
        return row is not None and row.feed_gap_at is not None

    @writes
    def record_feed_gap(self, uow: UnitOfWork, project_id: str) -> None:
        """Record that the activity feed does not show every download."""
        is_held = watch_queries.is_held(self._owner, uow.now)
        uow.execute(watch_queries.update_lease(project_id, is_held, feed_gap_at=uow.now))

    def _set_lease(self, uow: UnitOfWork, project_id: str, until: datetime) -> bool:
        """Change the lease while it is held; the row stays locked until the transaction ends."""
        is_held = watch_queries.is_held(self._owner, uow.now)
        lease = watch_queries.update_lease(project_id, is_held, lease_until=until)
        return uow.execute(lease).first() is not None

    @writes
    def record_clusters(
        self, uow: UnitOfWork, project_id: str, clusters: Collection[str]
    ) -> Sequence[str] | None:
        """Record which clusters exist.

        Clusters that exist when the watch starts may have a history. All jobs of clusters that are
        created later are new.

        Returns:
            the deleted clusters that have open jobs in the database; None if this replica lost
            the lease.
        """
        if not self._set_lease(uow, project_id, uow.now + LEASE):
            return None
        known = set(uow.execute(watch_queries.clusters_of(project_id)).scalars())
        row = {"project_id": project_id, "first_read_at": uow.now if known else None}
        if new := [{**row, "cluster_name": name} for name in sorted(set(clusters) - known)]:
            uow.execute(watch_queries.NEW_CLUSTERS, new)
        with_open_jobs = uow.execute(watch_queries.clusters_with_open_jobs(project_id))
        return sorted(set(with_open_jobs.scalars()) - set(clusters))

    async def record_jobs(
        self,
        project_id: str,
        cluster: str,
        jobs: Sequence[RestoreJob],
        unread: Collection[str] = (),
    ) -> Sequence[JobChange] | None:
        """Record the jobs of a cluster and enqueue announcements, in one transaction.

        `unread` are the ids of jobs that could not be read.

        Returns:
            the changes that are announced; None if this replica lost the lease.
        """
        held: dict[str, Holding] = {}
        announced = await self._record_jobs(project_id, cluster, jobs, unread=unread, held=held)
        if self._quarantine:
            self._quarantine.report(project_id, held.values())
        return announced

    @writes
    def _record_jobs(
        self,
        uow: UnitOfWork,
        project_id: str,
        cluster: str,
        jobs: Sequence[RestoreJob],
        *,
        unread: Collection[str],
        held: dict[str, Holding],
    ) -> Sequence[JobChange] | None:
        """Record the jobs, and add to `held` what became of new downloads."""
        if not self._set_lease(uow, project_id, uow.now + LEASE):
            return None
        first = uow.execute(watch_queries.never_read(project_id, cluster)).first() is not None
        known = _known(uow, project_id, cluster)
        changes = compare(jobs, known, first=first, unread=unread)
        if self._quarantine and not first:
            held |= self._quarantine.hold(uow, project_id, cluster, changes)
        _record(uow, project_id, cluster, changes, held)
        if first:
            uow.execute(watch_queries.cluster_read(project_id, cluster, uow.now))
        return [change for change in changes if change.announce]


def get_watched_jobs(uow: UnitOfWork, job_ids: Iterable[int]) -> dict[int, WatchedJob]:
    """Read watched jobs, each with the newest request for it."""
    rows = uow.execute(watch_queries.jobs_among(job_ids)).all()
    return {row.id: _watched_job(uow, row) for row in rows}


def _watched_job(uow: UnitOfWork, row: Any) -> WatchedJob:  # noqa: ANN401 - a database row
    ref = JobRef(row.project_id, row.cluster_name, row.job_id)
    return WatchedJob(
        id=row.id,
        ref=ref,
        state=WatchedState(row.state),
        shown=shown_from_json(json.loads(row.shown)),
        first_seen_at=row.first_seen_at,
        changed_at=row.changed_at,
        was_running=row.was_running,
        beyond_limit=row.quarantine == Holding.BEYOND_LIMIT,
        message=Card(channel=row.channel, ts=row.ts) if row.channel else None,
        request=uow.get_or_none(request_queries.newest_request_for(ref)),
        facts=get_facts(uow, [ref]).get(ref),
    )


def _known(uow: UnitOfWork, project_id: str, cluster: str) -> Mapping[str, RecordedJob]:
    rows = uow.execute(watch_queries.jobs_of(project_id, cluster)).all()
    return {
        row.job_id: RecordedJob(state=WatchedState(row.state), announced=row.version > 0)
        for row in rows
    }


def _record(
    uow: UnitOfWork,
    project_id: str,
    cluster: str,
    changes: Sequence[JobChange],
    held: Mapping[str, Holding],
) -> None:
    stored: dict[str, Any] = {}
    if new := [
        _new_row(uow.now, project_id, cluster, each) | {"quarantine": held.get(each.job_id)}
        for each in changes
        if each.is_new
    ]:
        stored = {row.job_id: row for row in uow.execute(watch_queries.NEW_JOBS, new)}
    for change in changes:
        if not change.is_new:
            ref = JobRef(project_id, cluster, change.job_id)
            update = watch_queries.update_job(ref, _updated_values(uow.now, change))
            stored[change.job_id] = uow.execute(update).one()
    for change in changes:
        _record_link(uow, JobRef(project_id, cluster, change.job_id), change)
    announced = [stored[change.job_id] for change in changes if change.announce]
    if posts := [_announcement(uow.now, row) for row in announced if _needs_post(uow, row)]:
        uow.execute(outbox_queries.NEW_POSTS, posts)


def _record_link(uow: UnitOfWork, ref: JobRef, change: JobChange) -> None:
    live = change.shown and change.shown.link_is_live
    if live or change.announce:
        ended = JobState(change.state.value) if change.state in ENDED else None
        ensure_facts(uow, ref, change.shown.expires_at if change.shown and live else None, ended)


#: The states in which Atlas says how a job ended.
ENDED = frozenset(WatchedState) - OPEN - {WatchedState.GONE}


def refresh_announcement(uow: UnitOfWork, ref: JobRef) -> None:
    """Update the announcement of a job, if it has one with a button."""
    row = uow.execute(watch_queries.count_refresh(ref)).first()
    if row and _needs_post(uow, row):
        uow.execute(outbox_queries.NEW_POSTS, [_announcement(uow.now, row)])


def _new_row(now: datetime, project_id: str, cluster: str, change: JobChange) -> dict[str, Any]:
    ref = {"project_id": project_id, "cluster_name": cluster, "job_id": change.job_id}
    known = {"shown": "", **_read_values(now, change)}
    return {**ref, **known, "first_seen_at": now, "version": int(change.announce)}


def _updated_values(now: datetime, change: JobChange) -> dict[str, Any]:
    counted = {"version": watched_jobs.c.version + 1} if change.announce else {}
    return {**_read_values(now, change), **counted}


def _read_values(now: datetime, change: JobChange) -> dict[str, Any]:
    shown = {"shown": json.dumps(shown_to_json(change.shown))} if change.shown else {}
    return {"state": change.state, "changed_at": now, **shown}


def _needs_post(uow: UnitOfWork, row: Any) -> bool:  # noqa: ANN401 - a database row
    """Return whether no card of a quarantine, and no pending post, will show the job's new state.

    A first post that was attempted will not: Slack may have it as it was then.
    """
    if row.quarantine == Holding.CARD:
        return False
    if row.version == 1:
        return True
    pending = uow.execute(outbox_queries.pending_announcements(row.id))
    return not any(row.channel or post.attempts == 0 for post in pending)


def _announcement(now: datetime, row: Any) -> dict[str, Any]:  # noqa: ANN401 - a database row
    subject = f"{row.project_id}/{row.cluster_name}/{row.job_id}"
    return {
        "watched_job": row.id,
        "priority": ANNOUNCEMENT_PRIORITY,
        "kind": PostKind.ANNOUNCEMENT,
        "at": now,
        "detail": "{}",
        "state": "due",
        "due_at": now,
        "client_msg_id": message_id(subject, PostKind.ANNOUNCEMENT, row.version),
    }
