"""The watch's state: known clusters and jobs, when they were read, announcements to send."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, delete, false, func, insert, select, text, update

from bot.atlas import DeliveryType, JobRef, JobState, RestoreJob, created_at
from bot.cancellation.lifecycle import Card
from bot.cancellation.watched_job import (
    JobChange,
    QuarantineDecision,
    WatchedJob,
    WatchedState,
    compare,
)
from bot.storage import queries
from bot.storage.job_facts_store import ensure_facts, get_facts
from bot.storage.posts import announce
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.tables import (
    JOB,
    JOB_IS_OPEN,
    shown_from_json,
    to_ref,
    watch_leases,
    watched_clusters,
    watched_jobs,
)
from bot.storage.unit_of_work import Store, UnitOfWork, writes

#: For which a replica of the edition before, which knows no leader, leaves a project to this one.
LEASE = timedelta(seconds=20)
#: After a longer pause the watch forgets the clusters, and announces no jobs of that time.
FORGET_AFTER = timedelta(days=7)
RECENT = timedelta(minutes=10)  #: how young other restores are when they are recorded
#: Condition: a watched job is in this watched cluster.
IN_CLUSTER = and_(*(watched_jobs.c[name] == watched_clusters.c[name] for name in JOB[:2]))


@dataclass(eq=False)
class WatchStore(Store):
    owner: str  #: the name of this process, different at each start
    #: Quarantines new downloads in the transaction that records them.
    quarantine: QuarantineStore | None = None

    @writes
    def record_watch(
        self, uow: UnitOfWork, project_id: str, read_at: datetime | None = None
    ) -> None:
        """Record that a project is watched now.

        All clusters were read completely at `read_at` or later, if given.
        """
        lease = {"lease_owner": self.owner, "lease_until": uow.now + LEASE}
        lease |= {"all_read_at": read_at} if read_at else {}
        is_project = watch_leases.c.project_id == project_id
        before = uow.execute(select(watch_leases).where(is_project)).first()
        if before is None:
            uow.execute(insert(watch_leases), {"project_id": project_id, **lease})
            return
        uow.execute(update(watch_leases).where(is_project).values(**lease))
        if before.lease_until < uow.now - FORGET_AFTER:
            # Jobs that ended before the next read are history.
            of_project = watched_clusters.c.project_id == project_id
            uow.execute(delete(watched_clusters).where(of_project))

    @writes
    def record_clusters(
        self, uow: UnitOfWork, project_id: str, clusters: Collection[str]
    ) -> Sequence[str]:
        """Record which clusters exist; return the deleted ones that have open jobs.

        Clusters that exist when the watch starts may have a history. All jobs of clusters that are
        created later are new.
        """
        in_project = watched_clusters.c.project_id == project_id
        names = select(watched_clusters.c.cluster_name).where(in_project)
        known = set(uow.execute(names).scalars())
        row = {"project_id": project_id, "first_read_at": uow.now if known else None}
        if new := [{**row, "cluster_name": name} for name in sorted(set(clusters) - known)]:
            uow.execute(insert(watched_clusters), new)
        with_open_jobs = uow.execute(clusters_with_open_jobs(project_id)).scalars()
        return sorted(set(with_open_jobs) - set(clusters))

    @writes
    def record_jobs(
        self,
        uow: UnitOfWork,
        project_id: str,
        cluster: str,
        jobs: Sequence[RestoreJob],
        unread: Collection[str] = (),
    ) -> Sequence[JobChange]:
        """Record the jobs of a cluster, and return the changes that are announced.

        `unread` are the ids of jobs that could not be read.
        """
        queries.lock_project(uow.execute, project_id)
        clusters = watched_clusters.c
        is_cluster = and_(clusters.project_id == project_id, clusters.cluster_name == cluster)
        first_read = update(watched_clusters).where(is_cluster, clusters.first_read_at.is_(None))
        first = uow.execute(first_read.values(first_read_at=uow.now)).rowcount > 0
        known = {
            row.job_id: (WatchedState(row.state), row.version > 0)
            for row in uow.execute(jobs_of(project_id, cluster))
        }
        for job in jobs:
            if job.delivery_type != DeliveryType.DOWNLOAD and created_at(job.id) > uow.now - RECENT:
                ensure_facts(uow, JobRef(project_id, cluster, job.id))  # its event may be near
        changes = compare(jobs, known, first=first, unread=unread)
        decisions: Mapping[str, QuarantineDecision] = {}
        if self.quarantine and not first:
            decisions = self.quarantine.quarantine_downloads(uow, project_id, cluster, changes)
        _record(uow, project_id, cluster, changes, decisions)
        return [change for change in changes if change.announce]


def jobs_of(project_id: str, cluster: str) -> Select[Any]:
    jobs = watched_jobs.c
    is_cluster = (jobs.project_id == project_id, jobs.cluster_name == cluster)
    return select(jobs.job_id, jobs.state, jobs.version).where(*is_cluster)


def clusters_with_open_jobs(project_id: str) -> Select[Any]:
    is_open = (text(JOB_IS_OPEN), watched_jobs.c.project_id == project_id)
    return select(watched_jobs.c.cluster_name).where(*is_open).distinct()


def jobs_among(job_ids: Iterable[int]) -> Select[Any]:
    """Select recorded jobs by their row ids, and whether the first read of the cluster had them."""
    jobs, clusters = watched_jobs.c, watched_clusters.c
    # Both times are written by one transaction.
    was_there = func.coalesce(jobs.first_seen_at == clusters.first_read_at, false())
    found = select(watched_jobs, was_there.label("was_running"))
    return found.outerjoin(watched_clusters, IN_CLUSTER).where(jobs.id.in_(list(job_ids)))


def get_watched_jobs(uow: UnitOfWork, job_ids: Iterable[int]) -> dict[int, WatchedJob]:
    """Read watched jobs, each with the newest request for it."""
    rows = uow.execute(jobs_among(job_ids)).all()
    facts = get_facts(uow, [to_ref(row) for row in rows])
    return {
        row.id: WatchedJob(
            id=row.id,
            ref=(ref := to_ref(row)),
            state=WatchedState(row.state),
            shown=shown_from_json(json.loads(row.shown)),
            first_seen_at=row.first_seen_at,
            changed_at=row.changed_at,
            was_running=row.was_running,
            beyond_limit=row.quarantine == QuarantineDecision.BEYOND_LIMIT,
            message=Card(channel=row.channel, ts=row.ts) if row.channel else None,
            request=uow.get_or_none(queries.NEWEST_REQUEST_FOR, asdict(ref)),
            facts=facts.get(ref),
        )
        for row in rows
    }


def _record(
    uow: UnitOfWork,
    project_id: str,
    cluster: str,
    changes: Sequence[JobChange],
    decisions: Mapping[str, QuarantineDecision],
) -> None:
    """Write the rows of jobs that are new or changed, what is known of links, and announcements."""
    stored: dict[str, Any] = {}
    place = {"project_id": project_id, "cluster_name": cluster}
    if new := [
        {
            **place,
            "job_id": change.job_id,
            "shown": "",
            **_read_values(uow.now, change),
            "first_seen_at": uow.now,
            "version": int(change.announce),
            "quarantine": decisions.get(change.job_id),
        }
        for change in changes
        if change.is_new
    ]:
        inserted = uow.execute(insert(watched_jobs).returning(watched_jobs), new)
        stored = {row.job_id: row for row in inserted}
    for change in changes:
        ref = JobRef(**place, job_id=change.job_id)
        if not change.is_new:
            values = _read_values(uow.now, change)
            values["version"] = watched_jobs.c.version + int(change.announce)
            job = update(watched_jobs).where(queries.is_job(watched_jobs, ref)).values(**values)
            stored[change.job_id] = uow.execute(job.returning(watched_jobs)).one()
        shown = change.shown
        if change.announce or (shown and shown.link_existed):
            # Atlas does not show how a job ended that it no longer lists.
            state = JobState(change.state.value) if shown else None
            ensure_facts(uow, ref, shown.expires_at if shown else None, state)
    announced = [stored[change.job_id] for change in changes if change.announce]
    announce(uow.execute, uow.now, announced)


def _read_values(now: datetime, change: JobChange) -> dict[str, Any]:
    shown = {"shown": json.dumps(change.shown.to_json())} if change.shown else {}
    return {"state": change.state, "changed_at": now, **shown}
