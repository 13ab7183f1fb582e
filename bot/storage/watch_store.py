"""The watch's state: when it read a project, its known clusters, and the jobs that it listed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import structlog
from sqlalchemy import and_, delete, func, insert, select, text, update

from bot.atlas import JobRef, RestoreJob, created_at
from bot.cancellation.job import (
    Job,
    Listing,
    QuarantineDecision,
    compare,
    compare_restores,
    is_download,
)
from bot.storage import queries
from bot.storage.job_store import change, expected_wait_in, insert_history, note_reads, to_job
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.tables import IS_DISOWNED, JOB_IS_OPEN, jobs, watch_leases, watched_clusters
from bot.storage.unit_of_work import Store, UnitOfWork, writes

#: For which a replica of the edition before, which knows no leader, leaves a project to this one.
LEASE = timedelta(seconds=20)
CLUSTER_LIST = ""  #: in the place of a cluster's name: the list of clusters
#: How much older than the newest job of their cluster other restores are when they are recorded.
RECENT = timedelta(minutes=10)

log = structlog.get_logger(__name__)

OnCount: TypeAlias = Callable[[str, int], None]


@dataclass(eq=False)
class WatchStore(Store):
    owner: str  #: the name of this process, different at each start
    #: Quarantines new downloads in the transaction that records them.
    quarantine: QuarantineStore | None = None
    #: Called with a project's id and the number of its downloads: on record, and disowned.
    on_seen: OnCount = field(default=lambda _project, _count: None, kw_only=True)
    on_disowned: OnCount = field(default=lambda _project, _count: None, kw_only=True)
    #: The projects whose number on record was reported since their watch began.
    _counted: set[str] = field(default_factory=set, init=False)

    @writes
    def record_watch(
        self, uow: UnitOfWork, project_id: str, read_at: datetime | None = None
    ) -> None:
        """Record that a project is watched now, and log if it was not until now.

        The next read then records what happened since. All clusters were read completely at
        `read_at` of Atlas's clock or later, if given.
        """
        lease = {"lease_owner": self.owner, "lease_until": uow.now + LEASE}
        lease |= {"all_read_at": read_at} if read_at else {}
        is_project = watch_leases.c.project_id == project_id
        is_disowned = (jobs.c.project_id == project_id, text(IS_DISOWNED))
        disowned = uow.execute(select(func.count()).select_from(jobs).where(*is_disowned))
        uow.after_commit.append(partial(self.on_disowned, project_id, disowned.scalar_one()))
        until = uow.execute(select(watch_leases.c.lease_until).where(is_project)).scalar()
        if not uow.execute(update(watch_leases).where(is_project).values(**lease)).rowcount:
            uow.execute(insert(watch_leases), {"project_id": project_id, **lease})
        if until and until < uow.now:
            log.warning("not watched for a while", project=project_id, since=str(until))
        if self.quarantine:
            _quarantine_late(uow, project_id, self.quarantine)

    @writes
    def forget(self, uow: UnitOfWork, project_id: str) -> None:
        """Forget the clusters of a project that is not watched now.

        What runs at the next read is not new then, and what has ended is history.
        """
        is_project = watched_clusters.c.project_id == project_id
        uow.execute(delete(watched_clusters).where(is_project))

    @writes
    def record_clusters(
        self,
        uow: UnitOfWork,
        project_id: str,
        clusters: Collection[str],
        *,
        is_complete: bool = True,
    ) -> Sequence[str]:
        """Record which clusters exist; return the deleted ones that have open jobs.

        Clusters that exist when the watch starts may have a history. All jobs of clusters that a
        complete list lacked are new. The row without a name shows that there was such a list.
        """
        self._counted.discard(project_id)  # a watch begins with this
        in_project = watched_clusters.c.project_id == project_id
        names = select(watched_clusters.c.cluster_name).where(in_project)
        known = set(uow.execute(names).scalars())
        read_at = uow.now if CLUSTER_LIST in known else None
        row = {"project_id": project_id, "first_read_at": read_at, "restores_read_at": read_at}
        listed = {*clusters, CLUSTER_LIST} if is_complete else {*clusters}
        if new := [{**row, "cluster_name": name} for name in sorted(listed - known)]:
            uow.execute(insert(watched_clusters), new)
        is_open = (text(JOB_IS_OPEN), jobs.c.shown != "", jobs.c.project_id == project_id)
        with_open_jobs = uow.execute(select(jobs.c.cluster_name).where(*is_open)).scalars()
        return sorted(set(with_open_jobs) - set(clusters))

    @writes
    def record_jobs(
        self,
        uow: UnitOfWork,
        project_id: str,
        cluster: str,
        reads: Sequence[RestoreJob],
        unread: Collection[str] = (),
        *,
        read_at: datetime | None = None,
        lacked_at: datetime | None = None,
        is_watched: bool = True,
        watch_restores: bool = False,
    ) -> None:
        """Record the jobs of a cluster, and announce what is new or has changed.

        The read began at `read_at`, or now, and the last complete one before it at `lacked_at`.
        `unread` are the ids of jobs that it could not read. New downloads of a cluster that is not
        watched are only known.
        """
        queries.lock_project(uow.execute, project_id)
        known = _known(uow, project_id, cluster, reads)
        first, first_for_restores = _begin_read(
            uow,
            project_id,
            cluster,
            is_complete="" not in unread,
            is_watched=is_watched,
            watch_restores=watch_restores,
        )
        for job_id in filter(None, unread):  # its event may be near
            ref = JobRef(project_id, cluster, job_id)
            change(uow, ref, Job.unread_at_first if first else lambda job: job)
        listing = Listing(
            jobs={read.id: read for read in reads},
            now=uow.now,
            read_at=read_at or uow.now,
            lacked_at=lacked_at,
            first=first,
            unread=unread,
            is_watched=is_watched,
        )
        changes = compare(listing, known)
        new = [job for job in changes if job.version > known[job.ref.job_id].version]
        decisions: Mapping[JobRef, QuarantineDecision] = {}
        if self.quarantine:
            began_since = [job for job in new if not job.was_running]
            decisions = self.quarantine.quarantine_downloads(uow, project_id, cluster, began_since)
        for job in changes:
            if job.id or job.version:
                decision = decisions.get(job.ref)
                change(uow, job.ref, partial(Job.listed, listing=listing, quarantine=decision))
        insert_history(uow, [job for job in changes if not (job.id or job.version)])
        if watch_restores:
            listing = replace(listing, first=first_for_restores)
            for job in compare_restores(listing, known):
                change(uow, job.ref, partial(Job.listed, listing=listing))
        if new or project_id not in self._counted:
            self._count(uow, project_id)

    @writes
    def record_reads(self, uow: UnitOfWork, refs: Collection[JobRef], read_at: datetime) -> None:
        """Record that a read had these jobs, after `record_jobs` of what it changes."""
        note_reads(uow, refs, read_at)

    def _count(self, uow: UnitOfWork, project_id: str) -> None:
        """Report how many downloads are on record; after a lost answer the next read does."""
        self._counted.discard(project_id)
        is_seen = (jobs.c.project_id == project_id, jobs.c.version > 0)
        seen = uow.execute(select(func.count()).select_from(jobs).where(*is_seen)).scalar_one()
        uow.after_commit.append(partial(self._counted.add, project_id))
        uow.after_commit.append(partial(self.on_seen, project_id, seen))


def _quarantine_late(uow: UnitOfWork, project_id: str, quarantine: QuarantineStore) -> None:
    """Quarantine the downloads that requests kept from it; the transaction locked the project."""
    for job in map(to_job, uow.execute(queries.left_by_requests(project_id)).all()):
        cluster = job.ref.cluster_name
        decided = quarantine.quarantine_downloads(uow, project_id, cluster, [job])
        for ref, decision in decided.items():
            change(uow, ref, partial(replace, quarantine=decision))


def _known(
    uow: UnitOfWork, project_id: str, cluster: str, reads: Sequence[RestoreJob]
) -> dict[str, Job]:
    """Return the recorded jobs of a cluster, and the new ones, by id."""
    of_cluster = (jobs.c.project_id == project_id, jobs.c.cluster_name == cluster)
    rows = uow.execute(select(jobs).where(*of_cluster))
    known = {row.job_id: to_job(row) for row in rows}
    wait = expected_wait_in(uow, project_id)
    newest = max((created_at(read.id) for read in reads), default=uow.now)  # by Atlas's clock
    since = min(newest, uow.now) - RECENT
    for read in reads:
        if read.id not in known:
            ref = JobRef(project_id, cluster, read.id)
            known[read.id] = Job.new(ref, wait, uow.now)
            if not is_download(read) and created_at(read.id) > since:
                change(uow, ref, lambda job: job)  # its event may be near
    return known


def _begin_read(
    uow: UnitOfWork,
    project_id: str,
    cluster: str,
    *,
    is_complete: bool,
    is_watched: bool,
    watch_restores: bool,
) -> tuple[bool, bool]:
    """Return whether this is the first read of a cluster, and the first one for its restores.

    Reads count while the cluster is watched. A read that lacks jobs without an id leaves the next
    one the first: these may be running.
    """
    columns = watched_clusters.c
    is_cluster = and_(columns.project_id == project_id, columns.cluster_name == cluster)
    before = uow.execute(select(watched_clusters).where(is_cluster)).first()
    if before is None:
        return False, False
    first_read_at = before.first_read_at or (uow.now if is_complete else None)
    times = {
        "first_read_at": first_read_at if is_watched else None,
        "restores_read_at": (before.restores_read_at or uow.now) if watch_restores else None,
    }
    uow.execute(update(watched_clusters).where(is_cluster).values(**times))
    return before.first_read_at is None, before.restores_read_at is None
