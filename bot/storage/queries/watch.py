"""The SQL statements of the watch: reads first, then writes."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Delete,
    Select,
    Update,
    and_,
    delete,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.atlas import JobRef
from bot.cancellation.watched_job import OPEN
from bot.storage.database import has_passed
from bot.storage.queries.requests import is_job
from bot.storage.tables import watch_leases, watched_clusters, watched_jobs

#: A literal, not a parameter: databases use a partial index only for a literal condition.
IS_OPEN = watched_jobs.c.state.in_([literal_column(f"'{state}'") for state in sorted(OPEN)])

#: An upper bound of every lease on a project; see `has_passed`.
LONGEST_LEASE = timedelta(seconds=40)


def clusters_of(project_id: str) -> Select[Any]:
    """Select the known clusters of a project."""
    return select(watched_clusters.c.cluster_name).where(
        watched_clusters.c.project_id == project_id
    )


def never_read(project_id: str, cluster: str) -> Select[Any]:
    """Select the cluster if it existed before the watch and its jobs were never read."""
    return select(watched_clusters).where(*_unread(project_id, cluster))


def jobs_of(project_id: str, cluster: str) -> Select[Any]:
    """Select the recorded jobs of a cluster."""
    return select(watched_jobs.c.job_id, watched_jobs.c.state, watched_jobs.c.version).where(
        watched_jobs.c.project_id == project_id, watched_jobs.c.cluster_name == cluster
    )


def jobs_among(job_ids: Iterable[int]) -> Select[Any]:
    """Select recorded jobs by their row ids, and whether the first read of the cluster had them."""
    jobs, clusters = watched_jobs.c, watched_clusters.c
    same_cluster = and_(
        jobs.project_id == clusters.project_id, jobs.cluster_name == clusters.cluster_name
    )
    # Both times are written by one transaction.
    was_there = func.coalesce(jobs.first_seen_at == clusters.first_read_at, false())
    return (
        select(watched_jobs, was_there.label("was_running"))
        .outerjoin(watched_clusters, same_cluster)
        .where(jobs.id.in_(list(job_ids)))
    )


def clusters_with_open_jobs(project_id: str) -> Select[Any]:
    """List the clusters that have open jobs in the database."""
    is_open = (IS_OPEN, watched_jobs.c.project_id == project_id)
    return select(watched_jobs.c.cluster_name).where(*is_open).distinct()


def announced_open_jobs(limit: int) -> Select[Any]:
    """List the jobs whose announcements have a button, newest first."""
    announced = select(watched_jobs).where(IS_OPEN, watched_jobs.c.version > 0)
    return announced.order_by(watched_jobs.c.id.desc()).limit(limit)


def lease_of(project_id: str) -> Select[Any]:
    """Select the lease on a project."""
    return select(watch_leases).where(watch_leases.c.project_id == project_id)


#: Inserts the first lease on a project; the primary key decides between two replicas.
NEW_LEASE = insert(watch_leases)


def is_free(owner: str, now: datetime) -> ColumnElement[bool]:
    """Condition: `owner` has the lease, or it has run out."""
    over = has_passed(watch_leases.c.lease_until, now, now + LONGEST_LEASE)
    return or_(watch_leases.c.lease_owner == owner, over)


def is_held(owner: str, now: datetime) -> ColumnElement[bool]:
    """Condition: `owner` has the lease, and it has not run out."""
    return and_(watch_leases.c.lease_owner == owner, watch_leases.c.lease_until > now)


def update_lease(project_id: str, condition: ColumnElement[bool], **values: object) -> Update:
    """Update the lease on a project; returns its row, where the condition holds."""
    lease = update(watch_leases).where(watch_leases.c.project_id == project_id, condition)
    return lease.values(**values).returning(watch_leases)


NEW_CLUSTERS = insert(watched_clusters)


def forget_clusters(project_id: str) -> Delete:
    """Delete a project's clusters: jobs that ended before the next read are history."""
    return delete(watched_clusters).where(watched_clusters.c.project_id == project_id)


def cluster_read(project_id: str, cluster: str, now: datetime) -> Update:
    """Record the first read of a cluster's jobs."""
    return update(watched_clusters).where(*_unread(project_id, cluster)).values(first_read_at=now)


def _unread(project_id: str, cluster: str) -> list[ColumnElement[bool]]:
    clusters = watched_clusters.c
    is_cluster = [clusters.project_id == project_id, clusters.cluster_name == cluster]
    return [*is_cluster, clusters.first_read_at.is_(None)]


#: Inserts jobs that were read for the first time; their rows are never deleted.
NEW_JOBS = insert(watched_jobs).returning(watched_jobs)


def update_job(ref: JobRef, values: dict[str, Any]) -> Update:
    """Update a job's row."""
    job = update(watched_jobs).where(is_job(watched_jobs, ref))
    return job.values(**values).returning(watched_jobs)


def count_refresh(ref: JobRef) -> Update:
    """Count a change of what is shown about a job that was announced and is open."""
    announced = and_(is_job(watched_jobs, ref), IS_OPEN, watched_jobs.c.version > 0)
    return (
        update(watched_jobs)
        .where(announced)
        .values(version=watched_jobs.c.version + 1)
        .returning(watched_jobs)
    )


def place_announcement(job_id: int, channel: str, ts: str) -> Update:
    """Record the place of a job's announcement."""
    return update(watched_jobs).where(watched_jobs.c.id == job_id).values(channel=channel, ts=ts)
