"""Results of a job search, and how its failures are recorded (pure)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bot import atlas
from bot.atlas import AtlasError, JobRef, RestoreJob
from bot.cancellation.errors import CancellationError, RateLimitReserved
from bot.services.projects import Project

#: Errors that concern the whole project, except with a code in `CLUSTER_CODES`.
PROJECT_ERRORS = (
    atlas.KeyRefused,
    atlas.RoleMissing,
    atlas.NotOnAccessList,
    atlas.ProjectNotFound,
    RateLimitReserved,
)
#: Codes of such errors that concern one cluster: the smallest clusters have no backups.
CLUSTER_CODES = frozenset({"FEATURE_UNSUPPORTED"})
#: Errors that mean that the cluster has no such job, or no job that Atlas would cancel.
NOT_FOUND_ERRORS = (atlas.JobNotFound, atlas.ClusterNotFound, atlas.WrongClusterKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRef:
    """A cluster in which jobs are searched."""

    project: Project
    cluster: str

    def job(self, job_id: str) -> JobRef:
        return JobRef(project_id=self.project.id, cluster_name=self.cluster, job_id=job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellableJob:
    """A job that can be cancelled, and its cluster."""

    place: ClusterRef
    job: RestoreJob

    @property
    def ref(self) -> JobRef:
        return self.place.job(self.job.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadCluster:
    """A project, or a cluster of it, that could not be read, or `in_part` only."""

    project: str  #: its name
    cluster: str | None
    reason: str  #: a sentence
    in_part: bool = False


@dataclass(slots=True, kw_only=True)
class Search:
    """The state of a search for one job, or of a listing.

    An error of a whole project is recorded once, and no other cluster of it may be read then.
    """

    found: ClusterRef | None = None
    pending: list[ClusterRef] = field(default_factory=list)  #: in the order of the search
    searched: int = 0  #: clusters that do not have the job
    jobs: list[CancellableJob] = field(default_factory=list)  #: of a listing, newest snapshot first
    unavailable: list[UnreadCluster] = field(default_factory=list)
    failed_projects: set[str] = field(default_factory=set)

    def may_read(self, ref: ClusterRef) -> bool:
        return ref.project.id not in self.failed_projects

    @contextmanager
    def recorded(self, ref: ClusterRef) -> Iterator[None]:
        """Record the error of a read of the cluster, and suppress it."""
        try:
            yield
        except NOT_FOUND_ERRORS:
            pass  # a flex cluster, or one that was deleted since the list was read
        except TimeoutError:
            self.unavailable += timed_out([ref], ())
        except (AtlasError, CancellationError) as error:
            if not _concerns_project(error):
                self.unavailable.append(unavailable_at(ref.project, ref.cluster, error))
            elif self.may_read(ref):
                self.failed_projects.add(ref.project.id)
                self.unavailable.append(unavailable_at(ref.project, None, error))


def timed_out(pending: Sequence[ClusterRef], projects: Sequence[Project]) -> list[UnreadCluster]:
    """Return what was not read in time: the pending clusters, else the whole projects."""
    late: list[tuple[Project, str | None]] = [(ref.project, ref.cluster) for ref in pending]
    late = late or [(project, None) for project in projects]
    return [unavailable_at(project, name, project.atlas.why_late()) for project, name in late]


def _concerns_project(error: Exception) -> bool:
    code = error.code if isinstance(error, AtlasError) else None
    return isinstance(error, PROJECT_ERRORS) and code not in CLUSTER_CODES


def incomplete(project: Project, cluster: str | None, unread: str) -> list[UnreadCluster]:
    """Record that items could not be read; `unread` is the clause about them, or empty."""
    at = UnreadCluster(project=project.name, cluster=cluster, reason=f"{unread}.", in_part=True)
    return [at] if unread else []


def unavailable_at(project: Project, cluster: str | None, error: Exception) -> UnreadCluster:
    return UnreadCluster(project=project.name, cluster=cluster, reason=str(error))
