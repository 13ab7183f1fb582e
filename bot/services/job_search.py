"""Finds restore jobs in Atlas: one job by its id, and all cancellable jobs of many clusters."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from bot.async_cache import AsyncCache
from bot.atlas import AtlasError, AtlasUnavailable, ClusterNotFound, ReadItems, RestoreJob
from bot.cancellation.errors import CancellationError
from bot.services.projects import Project, Projects
from bot.services.rate_limit import REFILL_PER_SECOND
from bot.services.search_results import (
    NOT_FOUND_ERRORS,
    CancellableJob,
    ClusterRef,
    Search,
    UnreadCluster,
    incomplete,
    timed_out,
    unavailable_at,
)
from bot.tasks import cancel_and_wait

#: Called once, with the clusters to search.
OnStart = Callable[["Sequence[ClusterRef]"], Awaitable[object]]
K = TypeVar("K")
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


class JobFinder:
    """Searches jobs within limits: of time, of concurrent calls, and of Atlas's rate limit."""

    def __init__(
        self,
        projects: Projects,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        timeout: float = SEARCH_TIMEOUT,  # of a whole search or listing
    ) -> None:
        self._projects = projects
        self._timeout = timeout
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._clusters = AsyncCache(self._read_clusters, monotonic, keep_on=AtlasUnavailable)
        self._jobs = AsyncCache(self._read_jobs, monotonic, keep_on=AtlasUnavailable)

    async def close(self) -> None:
        """Cancel the calls in flight."""
        await self._clusters.close()
        await self._jobs.close()

    async def clusters(self, project_id: str, *, timeout: float) -> ReadItems[str]:
        """Return a project's cluster names, sorted; cached ones if Atlas is slow.

        Raises `AtlasError`, also without an answer in time, or `UnknownProject`.
        """
        return await self._get_or_stale(
            self._clusters, project_id, project_id, CLUSTERS_MAX_AGE, timeout
        )

    async def jobs(self, project_id: str, cluster: str, *, timeout: float) -> ReadItems[RestoreJob]:
        """Return a cluster's cancellable jobs, newest first; raises as `clusters` does."""
        key = (project_id, cluster)
        return await self._get_or_stale(self._jobs, project_id, key, JOBS_MAX_AGE, timeout)

    async def search(
        self,
        job_id: str,
        projects: Sequence[Project],
        *,
        cluster: str | None = None,
        hints: Sequence[str] = (),
        on_start: OnStart | None = None,
    ) -> Search:
        """Find the cluster of a job, if given only among clusters of that name.

        The first hit ends the search. Clusters named in `hints` are searched first.
        """
        if known := self._find_in_cache(job_id, projects, cluster):
            return Search(found=known)
        search = Search()
        try:
            async with asyncio.timeout(self._timeout):
                search.pending, search.unavailable = await self._list_clusters(projects, cluster)
                search.pending.sort(key=lambda ref: ref.cluster not in hints)
                if on_start and search.pending:
                    await on_start(search.pending)
                await self._search_clusters(job_id, search, [*search.pending], hints)
        except TimeoutError:
            search.unavailable += timed_out(search.pending, projects)
        return search

    async def listing(
        self,
        projects: Sequence[Project],
        *,
        cluster: str | None = None,
        max_age: float = JOBS_MAX_AGE,
    ) -> Search:
        """List the cancellable jobs, of clusters named `cluster` if it is given.

        Cached ones are at most `max_age` seconds old. Fresher ones are read as long as repeated
        listings cannot exhaust the rate limit.
        """
        clusters, unavailable = await self._list_clusters(projects, cluster)
        search = Search(pending=[*clusters], unavailable=unavailable)
        age = min(max_age, len(clusters) / REFILL_PER_SECOND)
        age = age if len(clusters) > ALWAYS_FRESH_CLUSTERS else 0.0

        async def read(ref: ClusterRef) -> None:
            key = (ref.project.id, ref.cluster)
            found = await self._jobs.get(key, max_age=age, timeout=READ_TIMEOUT)
            search.jobs.extend(CancellableJob(place=ref, job=job) for job in found)
            unavailable.extend(incomplete(ref.project, ref.cluster, found.unread_text("job")))

        try:
            async with asyncio.timeout(self._timeout):
                await self._read_each(search, clusters, read)
        except TimeoutError:
            unavailable += timed_out(search.pending, ())
        # Atlas does not return the start of a job.
        search.jobs.sort(
            key=lambda each: (each.job.snapshot_time or NO_TIME, each.job.id), reverse=True
        )
        return search

    async def _list_clusters(
        self, projects: Sequence[Project], cluster: str | None
    ) -> tuple[list[ClusterRef], list[UnreadCluster]]:
        clusters: list[ClusterRef] = []
        unavailable: list[UnreadCluster] = []

        async def read(project: Project) -> None:
            try:
                names = await self.clusters(project.id, timeout=READ_TIMEOUT)
                matching = [name for name in names if cluster in (None, name)]
            except (AtlasError, CancellationError) as error:
                unavailable.append(unavailable_at(project, None, error))
                return
            clusters.extend(ClusterRef(project=project, cluster=name) for name in matching)
            unavailable.extend(incomplete(project, None, names.unread_text("cluster")))
            if cluster and not matching:
                unavailable.extend(await self._check_unlisted_cluster(project, cluster))

        await _for_each(projects, read)
        return clusters, unavailable

    async def _check_unlisted_cluster(self, project: Project, cluster: str) -> list[UnreadCluster]:
        """Return the error of a cluster that no list contains, such as a flex cluster."""
        try:
            await self.jobs(project.id, cluster, timeout=READ_TIMEOUT)
        except ClusterNotFound:
            pass
        except (AtlasError, CancellationError) as error:
            return [unavailable_at(project, cluster, error)]
        return []

    def _find_in_cache(
        self, job_id: str, projects: Sequence[Project], cluster: str | None
    ) -> ClusterRef | None:
        """Find the job in cached listings, of any age: a job never moves to another cluster."""
        by_id = {project.id: project for project in projects}
        for (project_id, name), jobs in self._jobs.items():
            matches = project_id in by_id and cluster in (None, name)
            if matches and any(job.id == job_id for job in jobs):
                return ClusterRef(project=by_id[project_id], cluster=name)
        return None

    async def _search_clusters(
        self, job_id: str, search: Search, clusters: Sequence[ClusterRef], hints: Sequence[str]
    ) -> None:
        async def read(ref: ClusterRef) -> None:
            try:
                with ref.project.backups.call():
                    await ref.project.atlas.restore_job(ref.job(job_id), timeout=READ_TIMEOUT)
            except NOT_FOUND_ERRORS:
                search.searched += 1
            else:
                search.found = search.found or ref

        hinted = [ref for ref in clusters if ref.cluster in hints]
        await self._read_each(search, hinted, read)
        if not search.found:
            await self._read_each(search, clusters[len(hinted) :], read)

    async def _read_each(
        self,
        search: Search,
        clusters: Sequence[ClusterRef],
        read: Callable[[ClusterRef], Awaitable[None]],
    ) -> None:
        """Do `read` for the clusters until the job is found; record what could not be read."""

        async def work(ref: ClusterRef) -> None:
            async with self._slots:
                if search.may_read(ref):
                    with search.recorded(ref):
                        await read(ref)
            search.pending.remove(ref)

        await _for_each(clusters, work, until=lambda: search.found is not None)

    async def _read_clusters(self, project_id: str) -> ReadItems[str]:
        clusters = await self._projects.get(project_id).atlas.clusters(project_id)
        names = sorted((cluster.name for cluster in clusters), key=str.casefold)
        return ReadItems(names, clusters.unread)

    async def _read_jobs(self, key: tuple[str, str]) -> ReadItems[RestoreJob]:
        project_id, cluster = key
        project = self._projects.get(project_id)
        with project.backups.call():
            jobs = await project.atlas.restore_jobs(project_id, cluster)
        return ReadItems((job for job in jobs if job.can_be_cancelled), jobs.unread)

    async def _get_or_stale(
        self, cache: AsyncCache[K, V], project_id: str, key: K, max_age: float, timeout: float
    ) -> V:
        """Return the cache's value; an older one when Atlas does not answer."""
        try:
            return await cache.get(key, max_age=max_age, timeout=timeout)
        except (TimeoutError, AtlasUnavailable) as error:
            if (stored := cache.get_stored(key)) is not None:
                return stored
            if isinstance(error, AtlasUnavailable):
                raise
            raise self._projects.get(project_id).atlas.why_late() from error


async def _for_each(
    items: Sequence[T], work: Callable[[T], Awaitable[None]], until: Callable[[], bool] = bool
) -> None:
    """Do `work` for every item with concurrent workers; stop all once `until` returns True."""
    todo = iter(items)

    async def worker() -> None:
        for item in todo:
            await work(item)
            if until():
                return

    workers = [asyncio.create_task(worker()) for _ in range(min(MAX_CONCURRENT_CALLS, len(items)))]
    try:
        for done in asyncio.as_completed(workers):
            await done
            if until():
                return
    finally:
        await cancel_and_wait(*workers)
