"""Where restore jobs are looked for, what was found there, and what could not be seen (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    JobNotFound,
    JobRef,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RoleMissing,
    TimedOut,
    WrongClusterKind,
)
from bot.cancellation.errors import RateLimitReserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.atlas import RestoreJob
    from bot.cancellation.projects import Project

#: What says that the whole project cannot be read, whichever cluster was asked for.
OF_THE_PROJECT = (KeyRefused, RoleMissing, NotOnAccessList, ProjectNotFound, RateLimitReserved)

#: Codes that read the same and speak of one cluster: the smallest ones have no backups.
OF_A_CLUSTER = frozenset({"FEATURE_UNSUPPORTED"})

#: What says that a cluster has no such job, or none that Atlas would cancel.
NOT_THERE = (JobNotFound, ClusterNotFound, WrongClusterKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRef:
    """A cluster in which jobs are looked for."""

    project: Project
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellableJob:
    """A job that can be cancelled, and where it is."""

    place: ClusterRef
    job: RestoreJob

    @property
    def ref(self) -> JobRef:
        return JobRef(
            project_id=self.place.project.id,
            cluster_name=self.place.cluster,
            job_id=self.job.id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """What could not be looked into.

    Attributes:
        project: its name.
        cluster: its name, or None for the whole project.
        why: a sentence.
    """

    project: str
    cluster: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What can be cancelled, newest first, and what could not be seen."""

    jobs: tuple[CancellableJob, ...]
    unseen: tuple[Unavailable, ...]


@dataclass(slots=True, kw_only=True)
class Search:
    """How a search for one job stands.

    Attributes:
        found: where the job is.
        places: the clusters to look into, in that order.
        looked: how many were looked into, without the job.
        unseen: what could not be looked into.
    """

    found: ClusterRef | None = None
    places: list[ClusterRef] = field(default_factory=list)
    looked: int = 0
    unseen: list[Unavailable] = field(default_factory=list)


def newest(found: CancellableJob) -> tuple[float, str]:
    """Sort by the snapshot's time: Atlas does not say when a job was started."""
    taken = found.job.snapshot_time
    return (taken.timestamp() if taken else 0.0, found.job.id)


def not_in_time(places: Sequence[ClusterRef], among: Sequence[Project]) -> list[Unavailable]:
    late = TimedOut()
    if places:
        return [unseen_at(place, late) for place in places]
    return [Unavailable(project=project.name, cluster=None, why=str(late)) for project in among]


def judge(
    place: ClusterRef, error: Exception, broken: dict[str, Exception], unseen: list[Unavailable]
) -> None:
    """Note what could not be seen: a project once, however many clusters it has."""
    if isinstance(error, NOT_THERE):
        return  # a flex cluster, or one that was deleted meanwhile: nothing there to cancel
    if not _is_of_the_project(error):
        unseen.append(unseen_at(place, error))
    elif place.project.id not in broken:
        broken[place.project.id] = error
        unseen.append(Unavailable(project=place.project.name, cluster=None, why=str(error)))


def _is_of_the_project(error: Exception) -> bool:
    code = error.code if isinstance(error, AtlasError) else None
    return isinstance(error, OF_THE_PROJECT) and code not in OF_A_CLUSTER


def unseen_at(place: ClusterRef, error: Exception) -> Unavailable:
    return Unavailable(project=place.project.name, cluster=place.cluster, why=str(error))
