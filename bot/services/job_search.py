"""Finds restore jobs in Atlas: one job by its id, and all cancellable jobs of many clusters."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from bot import atlas
from bot.atlas import AtlasError, JobRef, ReadItems, RestoreJob, TimedOut
from bot.cancellation.errors import CancellationError, RateLimitReserved
from bot.services.projects import Project
from bot.tasks import AsyncCache, cancel_and_wait

T = TypeVar("T")
V = TypeVar("V")
MAX_CONCURRENT_CALLS = 8  #: to Atlas, over all searches of one bot
#: Seconds for which cluster names, and the jobs of a cluster, are served from the cache.
CLUSTERS_MAX_AGE = 60.0
JOBS_MAX_AGE = 10.0
ALWAYS_FRESH_CLUSTERS = 20  #: a listing of at most so many clusters is always read afresh
#: A snapshot without a time comes last.
NO_TIME = datetime.min.replace(tzinfo=UTC)
SEARCH_TIMEOUT = 22.0  #: seconds for a whole search or listing: people get an answer within 30
READ_TIMEOUT = 8.0  #: seconds of it for the cluster names of one project, or for one cluster
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

    @property
    def unread_projects(self) -> frozenset[str]:
        """The names of the projects with clusters that could not be read."""
        return frozenset(each.project for each in self.unavailable)

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


class JobFinder:
    """Searches jobs within limits: of time, of concurrent calls, and of Atlas's rate limit."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        timeout: float = SEARCH_TIMEOUT,  # of a whole search or listing
    ) -> None:
        self._timeout = timeout
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._clusters = AsyncCache(self._read_clusters, monotonic)
        self._jobs = AsyncCache(self._read_jobs, monotonic)

    async def close(self) -> None:
        """Cancel the calls in flight."""
        await self._clusters.close()
        await self._jobs.close()

    async def clusters(self, project: Project, *, timeout: float) -> ReadItems[str]:
        """Return the sorted names of the clusters that a project offers.

        Raises `AtlasError`, also without an answer in time.
        """
        lists = ClusterRef(project=project, cluster="")
        names = await self._get(self._clusters, lists, CLUSTERS_MAX_AGE, timeout)
        return ReadItems(filter(project.offers, names), names.unread)

    async def jobs(
        self, project: Project, cluster: str, *, timeout: float
    ) -> ReadItems[RestoreJob]:
        """Return a cluster's cancellable jobs as they are now, newest first; as `clusters` does.

        A cluster that the project does not offer raises the refusal.
        """
        if refusal := project.refusal(cluster):
            raise refusal
        ref = ClusterRef(project=project, cluster=cluster)
        return await self._get(self._jobs, ref, 0.0, timeout)

    async def search(
        self,
        job_id: str,
        projects: Sequence[Project],
        *,
        cluster: str | None = None,
    ) -> Search:
        """Find the cluster of a job, if given only among clusters of that name.

        The first hit ends the search.
        """
        search, deadline = Search(cluster=cluster), self._deadline()

        async def read(ref: ClusterRef) -> RestoreJob:
            with ref.project.backups.call():
                return await ref.project.atlas.restore_job(ref.job(job_id), timeout=READ_TIMEOUT)

        clusters = await self._list_clusters(search, projects, deadline)
        async with aclosing(self._outcomes(clusters, read, deadline)) as outcomes:
            async for ref, outcome in outcomes:
                if not isinstance(outcome, Exception):
                    search.found = ref
                    break
                search.record(ref, outcome)
        return search

    async def listing(
        self,
        projects: Sequence[Project],
        *,
        cluster: str | None = None,
        max_age: float = JOBS_MAX_AGE,
    ) -> Search:
        """List the cancellable jobs, of clusters named `cluster` if it is given.

        Those of many clusters may be cached for `max_age` seconds, so that repeated listings
        cannot exhaust the rate limit.
        """
        search, deadline = Search(cluster=cluster), self._deadline()
        clusters = await self._list_clusters(search, projects, deadline)
        age = max_age if len(clusters) > ALWAYS_FRESH_CLUSTERS else 0.0

        async def read(ref: ClusterRef) -> ReadItems[RestoreJob]:
            return await self._get(self._jobs, ref, age, READ_TIMEOUT)

        async for ref, outcome in self._outcomes(clusters, read, deadline):
            if isinstance(outcome, Exception):
                search.record(ref, outcome)
            else:
                search.jobs.extend(CancellableJob(place=ref, job=job) for job in outcome)
                search.record_unread(ref, outcome.unread_text("job"))
        # Atlas does not return the start of a job.
        search.jobs.sort(
            key=lambda each: (each.job.snapshot_time or NO_TIME, each.job.id), reverse=True
        )
        return search

    async def _list_clusters(
        self, search: Search, projects: Sequence[Project], deadline: float
    ) -> list[ClusterRef]:
        """Return the clusters to read: those of the search's name, listed or not, or all."""
        if search.cluster:
            offering = [project for project in projects if project.offers(search.cluster)]
            return [ClusterRef(project=project, cluster=search.cluster) for project in offering]

        async def read(ref: ClusterRef) -> ReadItems[str]:
            return await self.clusters(ref.project, timeout=READ_TIMEOUT)

        lists = [ClusterRef(project=project, cluster="") for project in projects]
        clusters: list[ClusterRef] = []
        async for ref, outcome in self._outcomes(lists, read, deadline):
            if isinstance(outcome, Exception):
                search.record(ref, outcome)
            else:
                clusters += [ClusterRef(project=ref.project, cluster=name) for name in outcome]
                search.record_unread(ref, outcome.unread_text("cluster"))
        return clusters

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _outcomes(
        self,
        refs: Sequence[ClusterRef],
        read: Callable[[ClusterRef], Awaitable[T]],
        deadline: float,
    ) -> AsyncGenerator[tuple[ClusterRef, T | Exception], None]:
        """Read concurrently; yield what was read, or the error, in the order of the answers."""
        failed: dict[str, Exception] = {}  # by the ids of projects, of which no more is read

        async def attempt(ref: ClusterRef) -> tuple[ClusterRef, T | Exception]:
            try:
                async with asyncio.timeout_at(deadline), self._slots:
                    return ref, failed.get(ref.project.id) or await read(ref)
            except TimeoutError:
                return ref, TimedOut()
            except (AtlasError, CancellationError) as error:
                if concerns_project(error):
                    failed[ref.project.id] = error
                return ref, error

        tasks = [asyncio.create_task(attempt(ref)) for ref in refs]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            await cancel_and_wait(*tasks)

    async def _read_clusters(self, ref: ClusterRef) -> ReadItems[str]:
        clusters = await ref.project.atlas.clusters(ref.project.id, timeout=READ_TIMEOUT)
        names = sorted((cluster.name for cluster in clusters), key=str.casefold)
        return ReadItems(names, clusters.unread)

    async def _read_jobs(self, ref: ClusterRef) -> ReadItems[RestoreJob]:
        project = ref.project
        with project.backups.call():
            jobs = await project.atlas.restore_jobs(project.id, ref.cluster, timeout=READ_TIMEOUT)
        return ReadItems((job for job in jobs if job.can_be_cancelled), jobs.unread)

    async def _get(
        self, cache: AsyncCache[ClusterRef, V], ref: ClusterRef, max_age: float, timeout: float
    ) -> V:
        try:
            return await cache.get(ref, max_age=max_age, timeout=timeout)
        except TimeoutError as error:
            raise TimedOut from error
