"""Finds restore jobs: a job by its id alone, and what can be cancelled now, over many clusters."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from bot.async_cache import AsyncCache
from bot.atlas import AtlasError, AtlasUnavailable, ClusterNotFound, JobRef, TimedOut
from bot.cancellation.errors import CancellationError, UnknownProject
from bot.services.rate_limit import REFILL, RateLimitBudget
from bot.services.search_results import (
    NOT_THERE,
    CancellableJob,
    ClusterRef,
    Listing,
    Search,
    Unavailable,
    judge,
    newest,
    not_in_time,
    unseen_at,
)
from bot.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bot.atlas import RestoreJob
    from bot.cancellation.projects import Project, Projects

    #: Told once how many clusters of which projects are searched.
    Told = Callable[["Sequence[ClusterRef]"], Awaitable[object]]

K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V")

#: Calls to Atlas that one bot has under way for looking around, at most.
AT_ONCE = 8

#: Seconds for which the names of clusters, and the jobs of one, are good enough for a picker.
CLUSTERS_HOLD = 60.0
JOBS_HOLD = 10.0

#: Clusters that are always asked anew for a list: that is cheap.
FEW = 20

#: Seconds for a whole search or list: whoever waits is told within 30.
PATIENCE = 22.0

#: Seconds of that for the names of a project's clusters, so that a slow project hides no other.
FOR_CLUSTERS = 8.0

#: Seconds of that for one cluster.
FOR_ONE = 8.0


class JobFinder:
    """Looks around in Atlas, within bounds.

    Args:
        projects: whose clusters there are.
        buckets: the gauge of each project's rate limit, by project id.
        monotonic: seconds that never jump.
        patience: seconds for a whole search or list.
    """

    def __init__(
        self,
        projects: Projects,
        buckets: Mapping[str, RateLimitBudget] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._projects = projects
        self._buckets = dict(buckets or {})
        self._monotonic = monotonic
        self._patience = patience
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._clusters = AsyncCache(self._read_clusters, monotonic, keep_on=AtlasUnavailable)
        self._jobs = AsyncCache(self._read_jobs, monotonic, keep_on=AtlasUnavailable)

    async def close(self) -> None:
        """Cancel the loads of the caches."""
        await self._clusters.close()
        await self._jobs.close()

    async def clusters(self, project_id: str, *, patience: float) -> tuple[str, ...]:
        """Return the names of a project's clusters, sorted; the last known ones if Atlas is slow.

        Raises:
            AtlasError: Atlas refused, or did not answer in `patience` seconds.
            UnknownProject: the bot has no key for it.
        """
        return await _get_or_stale(self._clusters, project_id, CLUSTERS_HOLD, patience)

    async def jobs(
        self, project_id: str, cluster: str, *, patience: float
    ) -> tuple[RestoreJob, ...]:
        """Return a cluster's jobs that can be cancelled, newest first; raises as `clusters`."""
        return await _get_or_stale(self._jobs, (project_id, cluster), JOBS_HOLD, patience)

    async def search(
        self,
        job_id: str,
        among: Sequence[Project],
        *,
        cluster: str | None = None,
        hints: Sequence[str] = (),
        told: Told | None = None,
    ) -> Search:
        """Find the cluster of a job, and stop at the first that has it.

        Args:
            job_id: 24 hex digits.
            among: the projects to look into.
            cluster: look only into clusters of this name.
            hints: names that may be clusters; those are looked into first.
            told: called once with the clusters that are about to be searched.
        """
        search = Search()
        if place := self._seen_before(job_id, among, cluster):
            search.found = place
            return search
        try:
            async with asyncio.timeout(self._patience):
                search.places, search.unseen = await self._places(among, cluster)
                search.places.sort(key=lambda place: place.cluster not in hints)
                if told and search.places:
                    await told(search.places)
                await self._look_for(job_id, search, [*search.places], hints)
        except TimeoutError:
            search.unseen += not_in_time(search.places, among)
        return search

    async def listing(
        self,
        among: Sequence[Project],
        *,
        cluster: str | None = None,
        freshest: float = JOBS_HOLD,
    ) -> Listing:
        """List what can be cancelled now.

        Args:
            among: the projects to look into.
            cluster: only clusters of this name.
            freshest: answers of the last look may be this old at most, in seconds; newer ones
                are asked for where no number of lists could empty the bucket by it.
        """
        places, unseen = await self._places(among, cluster)
        age = min(freshest, len(places) / REFILL) if len(places) > FEW else 0.0
        jobs: list[CancellableJob] = []
        todo = dict.fromkeys(places)
        broken: dict[str, Exception] = {}

        async def look(place: ClusterRef) -> None:
            try:
                found = await self._list(place, age, broken)
            except (AtlasError, CancellationError) as error:
                judge(place, error, broken, unseen)
            else:
                jobs.extend(CancellableJob(place=place, job=job) for job in found)
            del todo[place]

        try:
            async with asyncio.timeout(self._patience):
                await _each(places, look)
        except TimeoutError:
            unseen += [unseen_at(place, TimedOut()) for place in todo]
        return Listing(jobs=tuple(sorted(jobs, key=newest, reverse=True)), unseen=tuple(unseen))

    async def _list(
        self, place: ClusterRef, age: float, broken: Mapping[str, Exception]
    ) -> tuple[RestoreJob, ...]:
        async with self._slots:
            if error := broken.get(place.project.id):
                raise error
            key = (place.project.id, place.cluster)
            try:
                return await self._jobs.get(key, max_age=age, timeout=FOR_ONE)
            except TimeoutError as error:
                raise TimedOut from error

    async def _places(
        self, among: Sequence[Project], cluster: str | None
    ) -> tuple[list[ClusterRef], list[Unavailable]]:
        places: list[ClusterRef] = []
        unseen: list[Unavailable] = []

        async def look(project: Project) -> None:
            try:
                names = await self.clusters(project.id, patience=FOR_CLUSTERS)
            except (AtlasError, CancellationError) as error:
                unseen.append(Unavailable(project=project.name, cluster=None, why=str(error)))
            else:
                wanted = [name for name in names if cluster in (None, name)]
                places.extend(ClusterRef(project=project, cluster=name) for name in wanted)
                if cluster and not wanted:
                    await self._look_closer(project, cluster, unseen)

        await _each(among, look)
        return places, unseen

    async def _look_closer(self, project: Project, cluster: str, unseen: list[Unavailable]) -> None:
        """Find out whether a name that is in no list is a cluster of another kind."""
        try:
            await self.jobs(project.id, cluster, patience=FOR_ONE)
        except ClusterNotFound:
            return
        except (AtlasError, CancellationError) as error:
            unseen.append(Unavailable(project=project.name, cluster=cluster, why=str(error)))

    def _seen_before(
        self, job_id: str, among: Sequence[Project], cluster: str | None
    ) -> ClusterRef | None:
        """Find the job in what was listed before: a job never moves to another cluster."""
        projects = {project.id: project for project in among}
        for (project_id, name), jobs in self._jobs.items():
            fits = project_id in projects and cluster in (None, name)
            if fits and any(job.id == job_id for job in jobs):
                return ClusterRef(project=projects[project_id], cluster=name)
        return None

    async def _look_for(
        self, job_id: str, search: Search, places: Sequence[ClusterRef], hints: Sequence[str]
    ) -> None:
        broken: dict[str, Exception] = {}

        async def look(place: ClusterRef) -> None:
            try:
                if await self._has(place, job_id, broken):
                    search.found = search.found or place
                else:
                    search.looked += 1
            except (AtlasError, CancellationError) as error:
                judge(place, error, broken, search.unseen)
            search.places.remove(place)

        def found() -> bool:
            return search.found is not None

        named = [place for place in places if place.cluster in hints]
        await _each(named, look, until=found)
        if not found():
            await _each(places[len(named) :], look, until=found)

    async def _has(self, place: ClusterRef, job_id: str, broken: Mapping[str, Exception]) -> bool:
        ref = JobRef(project_id=place.project.id, cluster_name=place.cluster, job_id=job_id)
        async with self._slots:
            if error := broken.get(place.project.id):
                raise error
            try:
                with self._bucket(place.project.id).call():
                    await place.project.atlas.restore_job(ref, timeout=FOR_ONE)
            except NOT_THERE:
                return False
        return True

    async def _read_clusters(self, project_id: str) -> tuple[str, ...]:
        clusters = await self._project(project_id).atlas.clusters(project_id)
        return tuple(sorted((cluster.name for cluster in clusters), key=str.casefold))

    async def _read_jobs(self, key: tuple[str, str]) -> tuple[RestoreJob, ...]:
        project_id, cluster = key
        with self._bucket(project_id).call():
            jobs = await self._project(project_id).atlas.restore_jobs(project_id, cluster)
        return tuple(job for job in jobs if job.can_be_cancelled)

    def _bucket(self, project_id: str) -> RateLimitBudget:
        return self._buckets.setdefault(project_id, RateLimitBudget(self._monotonic))

    def _project(self, project_id: str) -> Project:
        if project := self._projects.find(project_id):
            return project
        raise UnknownProject


async def _get_or_stale(cache: AsyncCache[K, V], key: K, max_age: float, timeout: float) -> V:
    """Return the cache's value; an older one when Atlas does not answer."""
    try:
        return await cache.get(key, max_age=max_age, timeout=timeout)
    except (TimeoutError, AtlasUnavailable) as error:
        stored = cache.get_stored(key)
        if stored is not None:
            return stored
        raise TimedOut if isinstance(error, TimeoutError) else error from error


async def _each(
    items: Sequence[T], work: Callable[[T], Awaitable[None]], until: Callable[[], bool] = bool
) -> None:
    """Do `work` for every item, `AT_ONCE` at a time; stop all of it once `until` says so."""
    todo = iter(items)

    async def worker() -> None:
        for item in todo:
            await work(item)
            if until():
                return

    workers = {asyncio.create_task(worker()) for _ in range(min(AT_ONCE, len(items)))}
    pending = workers
    try:
        while pending and not until():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        await cancel_and_wait(*workers)
