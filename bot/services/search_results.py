"""Results of a job search, and how its failures are recorded (pure)."""

from dataclasses import dataclass, field

from bot import atlas
from bot.atlas import AtlasError, JobRef, RestoreJob
from bot.cancellation.errors import RateLimitReserved
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
    """A cluster in which jobs are searched; without a name, the list of a project's clusters."""

    project: Project
    cluster: str

    @property
    def key(self) -> tuple[str, str]:
        return self.project.id, self.cluster

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
    """The result of a search for one job, or of a listing."""

    cluster: str | None = None  #: the name to which it is limited
    found: ClusterRef | None = None
    searched: list[ClusterRef] = field(default_factory=list)  #: clusters that do not have the job
    jobs: list[CancellableJob] = field(default_factory=list)  #: of a listing, newest snapshot first
    unavailable: list[UnreadCluster] = field(default_factory=list)

    def record(self, ref: ClusterRef, error: Exception) -> None:
        """Record the error of a read; one of a whole project is recorded once."""
        is_named = self.cluster is not None
        if is_named and isinstance(error, atlas.ClusterNotFound):
            return  # it is a cluster of other projects
        # A flex cluster, or one that was deleted since the list was read.
        is_known = isinstance(error, atlas.WrongClusterKind) and is_named
        if isinstance(error, NOT_FOUND_ERRORS) and not is_known:
            self.searched.append(ref)
            return
        name = None if concerns_project(error) else ref.cluster or None
        unread = UnreadCluster(project=ref.project.name, cluster=name, reason=str(error))
        if unread not in self.unavailable:
            self.unavailable.append(unread)

    def record_unread(self, ref: ClusterRef, unread: str) -> None:
        """Record the clause about items that could not be read, unless it is empty."""
        if unread:
            at = UnreadCluster(
                project=ref.project.name,
                cluster=ref.cluster or None,
                reason=f"{unread}.",
                in_part=True,
            )
            self.unavailable.append(at)


def concerns_project(error: Exception) -> bool:
    code = error.code if isinstance(error, AtlasError) else None
    return isinstance(error, PROJECT_ERRORS) and code not in CLUSTER_CODES
