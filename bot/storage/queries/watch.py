"""Every statement of the watch, named, with a sentence each. Reads first, then writes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, insert, literal_column, null, or_, select, update

from bot.cancellation.watched_job import OPEN
from bot.storage.database import has_passed
from bot.storage.tables import requests, watch_leases, watched_clusters, watched_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Delete, Insert, Select, Update
    from sqlalchemy.sql.elements import ColumnElement

    from bot.atlas import JobRef

#: Written out, not bound: a database uses a partial index only for a condition that it can read.
IS_OPEN = watched_jobs.c.state.in_([literal_column(f"'{seen}'") for seen in sorted(OPEN)])


#: No lease on a project is longer, and no sighting is put off for longer; see `has_passed`.
LONGEST_LEASE = timedelta(seconds=40)
FARTHEST = timedelta(minutes=2)


def lease_of(project_id: str) -> Select[Any]:
    """Read who looks at a project, and until when."""
    return select(watch_leases).where(watch_leases.c.project_id == project_id)


def clusters_of(project_id: str) -> Select[Any]:
    """List the clusters that the watch knows in a project."""
    return select(watched_clusters.c.cluster_name).where(
        watched_clusters.c.project_id == project_id
    )


def not_looked_at(project_id: str, cluster: str) -> Select[Any]:
    """Ask whether a cluster was there before the watch, and was never looked at since."""
    return clusters_of(project_id).where(
        watched_clusters.c.cluster_name == cluster, watched_clusters.c.first_read_at.is_(None)
    )


def sightings_in(project_id: str, cluster: str) -> Select[Any]:
    """Read what is on record of a cluster's jobs."""
    return select(watched_jobs.c.job_id, watched_jobs.c.state, watched_jobs.c.version).where(
        watched_jobs.c.project_id == project_id, watched_jobs.c.cluster_name == cluster
    )


def clusters_with_open_jobs(project_id: str) -> Select[Any]:
    """List the clusters of which jobs are still open on record."""
    return (
        select(watched_jobs.c.cluster_name)
        .where(IS_OPEN, watched_jobs.c.project_id == project_id)
        .distinct()
    )


def due_sightings(now: datetime) -> Select[Any]:
    """List what Slack is to be told now, in the order in which it was seen."""
    return select(watched_jobs.c.id).where(_is_due(now)).order_by(watched_jobs.c.id).limit(1)


def newest_request_for(ref: JobRef) -> Select[Any]:
    """Find the newest request for a job."""
    return (
        select(requests)
        .where(
            requests.c.job_id == ref.job_id,
            requests.c.project_id == ref.project_id,
            requests.c.cluster_name == ref.cluster_name,
        )
        .order_by(requests.c.created_at.desc())
        .limit(1)
    )


def new_lease(project_id: str, owner: str, until: datetime) -> Insert:
    """Look at a project that nobody has ever looked at; the primary key decides between two."""
    return insert(watch_leases).values(project_id=project_id, lease_owner=owner, lease_until=until)


def take_lease(project_id: str, owner: str, now: datetime, until: datetime) -> Update:
    """Look at a project from now on, if it is ours or nobody's."""
    over = has_passed(watch_leases.c.lease_until, now, now + LONGEST_LEASE)
    free = or_(watch_leases.c.lease_owner == owner, over)
    return _lease(project_id, free, lease_owner=owner, lease_until=until).returning(
        watch_leases.c.project_id
    )


def hold_lease(project_id: str, owner: str, now: datetime, until: datetime) -> Update:
    """Go on looking at a project, only while it is ours."""
    ours = and_(watch_leases.c.lease_owner == owner, watch_leases.c.lease_until > now)
    return _lease(project_id, ours, lease_until=until).returning(watch_leases.c.project_id)


def end_lease(project_id: str, owner: str, now: datetime) -> Update:
    """Let another replica look at a project at once."""
    return _lease(project_id, watch_leases.c.lease_owner == owner, lease_until=now)


def _lease(project_id: str, condition: ColumnElement[bool], **values: object) -> Update:
    return (
        update(watch_leases)
        .where(watch_leases.c.project_id == project_id, condition)
        .values(**values)
    )


def new_clusters(rows: Sequence[dict[str, Any]]) -> Insert:
    """Know more clusters."""
    return insert(watched_clusters).values(list(rows))


def forget_clusters(project_id: str) -> Delete:
    """Begin anew with a project: what is over there by the next look is old news."""
    return delete(watched_clusters).where(watched_clusters.c.project_id == project_id)


def cluster_looked_at(project_id: str, cluster: str, now: datetime) -> Update:
    """Note the first look at a cluster."""
    return (
        update(watched_clusters)
        .where(
            watched_clusters.c.project_id == project_id,
            watched_clusters.c.cluster_name == cluster,
            watched_clusters.c.first_read_at.is_(None),
        )
        .values(first_read_at=now)
    )


def new_sightings(rows: Sequence[dict[str, Any]]) -> Insert:
    """Write down jobs that were seen for the first time; a job has one row for ever."""
    return insert(watched_jobs).values(list(rows))


def change_sighting(ref: JobRef, values: dict[str, Any]) -> Update:
    """Write down that a job was seen to have become something else."""
    return (
        update(watched_jobs)
        .where(
            watched_jobs.c.project_id == ref.project_id,
            watched_jobs.c.cluster_name == ref.cluster_name,
            watched_jobs.c.job_id == ref.job_id,
        )
        .values(**values)
    )


def told_anew(now: datetime) -> dict[str, Any]:
    """Have a sighting told, as the row is then."""
    return {"version": watched_jobs.c.version + 1, "due_at": now}


def claim_sighting(sighting_id: int, now: datetime, until: datetime) -> Update:
    """Take one sighting for delivery, if nobody holds it."""
    return (
        update(watched_jobs)
        .where(watched_jobs.c.id == sighting_id, _is_due(now))
        .values(lease_until=until, attempts=watched_jobs.c.attempts + 1)
        .returning(*watched_jobs.c)
    )


def put_back(sighting_id: int, values: dict[str, Any]) -> Update:
    """Note what became of a delivery, and let go of it."""
    return (
        update(watched_jobs)
        .where(watched_jobs.c.id == sighting_id)
        .values(lease_until=null(), **values)
    )


def nothing_due_but(version: int) -> ColumnElement[Any]:
    """Keep a sighting due only if it was seen to change while `version` was delivered."""
    return case((watched_jobs.c.version == version, null()), else_=watched_jobs.c.due_at)


def _is_due(now: datetime) -> ColumnElement[bool]:
    far = now + FARTHEST
    free = or_(
        watched_jobs.c.lease_until.is_(None), has_passed(watched_jobs.c.lease_until, now, far)
    )
    return and_(
        watched_jobs.c.due_at.is_not(None), has_passed(watched_jobs.c.due_at, now, far), free
    )
