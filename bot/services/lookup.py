"""Looks downloads up in Atlas for people: one job, or all that run."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    DeliveryType,
    JobNotFound,
    JobRef,
    NotLocated,
    Priority,
    RestoreJob,
    WrongClusterKind,
)
from bot.cancellation.download import Download, new_download
from bot.cancellation.errors import CancellationError, StorageError, WrongCluster
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request
from bot.cancellation.starter import Starters
from bot.services.feed import Feed
from bot.services.projects import Project
from bot.storage.download_store import DownloadStore
from bot.storage.request_store import RequestStore

LIST_MAX_AGE = 5.0  #: seconds for which a list for one person also serves the next
FEED_TIMEOUT = 3.0  #: seconds for the feed: a dialog does not wait longer for a name


@dataclass(eq=False, repr=False)
class NotFoundInAtlas(CancellationError):
    sentence = "{why}"

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """One job as Atlas has it now, with what the bot knows about it."""

    project: Project
    ref: JobRef
    job: RestoreJob
    read_at: datetime
    download: Download
    requests: Sequence[Request] = ()  #: newest first
    no_record: StorageError | None = None  #: why what the bot has stored could not be read

    @property
    def policy(self) -> Policy:
        return self.project.policies.of(self.ref.cluster_name)

    @property
    def open_request(self) -> Request | None:
        return next((request for request in self.requests if request.is_open), None)


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of a list that could not be read; without a cluster, the whole project."""

    project: str
    cluster: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs now, newest first."""

    downloads: Sequence[JobDetails] = ()
    others: Sequence[JobDetails] = ()  #: other restores, which cannot be cancelled
    unread: Sequence[Unread] = ()
    clusters: Sequence[str] = ()  #: the names of all clusters that were listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Reads for a person; the stores are None where no database exists yet."""

    downloads: DownloadStore | None
    requests: RequestStore | None
    feed_of: Callable[[Project], Feed]
    now: Callable[[], datetime]
    _limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))

    async def find(
        self, projects: Collection[Project], cluster: str | None, job_id: str
    ) -> JobDetails:
        """Return a job of one of these projects; raises `CancellationError` or `AtlasError`.

        The cluster is the one that Atlas names; a typed one that differs raises `WrongCluster`.
        """
        read_at = self.now()
        if cluster and len(projects) == 1:
            (project,) = projects
            ref = JobRef(project.id, cluster, job_id)
            try:
                job = await project.gateway.job(ref, Priority.PERSON)
                name = await project.gateway.cluster_of(ref, job, Priority.PERSON)
            except (ClusterNotFound, JobNotFound) as error:
                project, ref, job = await self._find_elsewhere(project, cluster, job_id, error)
            else:
                ref = replace(ref, cluster_name=name)
        else:
            project, ref, job = await self._locate(projects, job_id)
        _check_cluster(ref, cluster)
        return await self._details(project, ref, job, read_at)

    async def find_stored(
        self, projects: Collection[Project], cluster: str, job_id: str
    ) -> JobDetails | None:
        """Return a download as the bot read it last: Atlas may not answer now.

        Raises `WrongCluster` as `find` does.
        """
        for project in projects:
            stored, requests, _ = await self._stored(JobRef(project.id, cluster, job_id))
            if stored:
                _check_cluster(stored.ref, cluster)
                return JobDetails(
                    project=project,
                    ref=stored.ref,
                    job=_last_read(stored),
                    read_at=stored.read_at,
                    download=stored,
                    requests=requests,
                )
        return None

    async def running(self, projects: Collection[Project], cluster: str | None = None) -> Running:
        """Return what runs in these projects, or in their clusters of this name."""
        found = await asyncio.gather(*(self._running_in(item, cluster) for item in projects))
        jobs = [details for part in found for details in (*part.downloads, *part.others)]
        jobs.sort(key=lambda details: details.ref.job_id, reverse=True)
        return Running(
            downloads=[item for item in jobs if item.job.delivery_type == DeliveryType.DOWNLOAD],
            others=[item for item in jobs if item.job.delivery_type != DeliveryType.DOWNLOAD],
            unread=[item for part in found for item in part.unread],
            clusters=sorted({name for part in found for name in part.clusters}),
        )

    async def _locate(
        self, projects: Collection[Project], job_id: str
    ) -> tuple[Project, JobRef, RestoreJob]:
        """Search all these projects side by side."""

        async def search(project: Project) -> tuple[Project, JobRef, RestoreJob] | AtlasError:
            try:
                located = await project.gateway.locate(job_id, Priority.PERSON)
            except AtlasError as error:
                return error
            return project, located.ref, located.job

        results = await asyncio.gather(*(search(project) for project in projects))
        for result in results:
            if not isinstance(result, AtlasError):
                return result
        raise NotFoundInAtlas(_why_not_found(projects, results))

    async def _find_elsewhere(
        self, project: Project, cluster: str, job_id: str, error: AtlasError
    ) -> tuple[Project, JobRef, RestoreJob]:
        """Find a job that its typed cluster does not have: the person may have mistyped it."""
        try:
            return await self._locate([project], job_id)
        except NotFoundInAtlas as not_found:
            if isinstance(error, ClusterNotFound):
                raise NotFoundInAtlas(f"{cluster}: {error} {not_found}") from error
            raise

    async def _running_in(self, project: Project, cluster: str | None) -> Running:
        try:
            clusters = await project.gateway.clusters(Priority.PERSON, max_age=LIST_MAX_AGE)
        except AtlasError as error:
            return Running(unread=[Unread(project.name, None, error.fact)])
        wanted = [
            name for name in clusters if cluster is None or name.casefold() == cluster.casefold()
        ]
        parts = await asyncio.gather(*(self._running_of(project, name) for name in wanted))
        unread = [item for part in parts for item in part.unread]
        if clusters.unread:
            unread.append(Unread(project.name, None, clusters.unread_text("cluster")))
        details = [item for part in parts for item in part.downloads]
        return Running(downloads=details, unread=unread, clusters=clusters)

    async def _running_of(self, project: Project, cluster: str) -> Running:
        """Return the jobs of a cluster that are not over."""
        read_at = self.now()
        try:
            async with self._limit:
                jobs = await project.gateway.jobs(cluster, Priority.PERSON, max_age=LIST_MAX_AGE)
        except WrongClusterKind:
            return Running()
        except AtlasError as error:
            return Running(unread=[Unread(project.name, cluster, error.fact)])
        left_out = [Unread(project.name, cluster, jobs.unread_text("job"))] if jobs.unread else []
        running = [job for job in jobs if not job.is_over]
        refs = [JobRef(project.id, job.cluster_name or cluster, job.id) for job in running]
        pairs = zip(refs, running, strict=True)
        found = await asyncio.gather(
            *(self._details(project, ref, job, read_at) for ref, job in pairs)
        )
        # A list that is some seconds old may have a download that has ended since.
        details = [item for item in found if not item.download.ended]
        return Running(downloads=details, unread=left_out)

    async def _details(
        self, project: Project, ref: JobRef, job: RestoreJob, read_at: datetime
    ) -> JobDetails:
        """Add what the bot has stored, and the starters where it has none."""
        stored, requests, no_record = await self._stored(ref)
        if stored:
            download = stored.observed(job, max(read_at, stored.read_at))
        else:
            download = new_download(ref, job, read_at=read_at, now=read_at)
        if download.starters.read_at is None:
            download = replace(download, starters=await self._starters(project, ref))
        return JobDetails(
            project=project,
            ref=ref,
            job=job,
            read_at=read_at,
            download=download,
            requests=requests,
            no_record=no_record,
        )

    async def _stored(
        self, ref: JobRef
    ) -> tuple[Download | None, Sequence[Request], StorageError | None]:
        if self.downloads is None or self.requests is None:
            return None, (), None
        try:
            stored = await self.downloads.get(ref.project_id, ref.job_id)
            return stored, await self.requests.of_download(ref.project_id, ref.job_id), None
        except StorageError as error:  # what Atlas has is shown without it
            return None, (), error

    async def _starters(self, project: Project, ref: JobRef) -> Starters:
        try:
            async with asyncio.timeout(FEED_TIMEOUT):
                return await self.feed_of(project).starters_near(ref.job_id, ref.started_at, ())
        except TimeoutError:
            return Starters()


def _check_cluster(ref: JobRef, typed: str | None) -> None:
    """Refuse a typed cluster that is not the job's; raises `WrongCluster`."""
    if typed and ref.cluster_name.casefold() != typed.casefold():
        raise WrongCluster(ref.cluster_name, typed)


def _last_read(download: Download) -> RestoreJob:
    """Return the job of a stored download."""
    return RestoreJob(
        id=download.ref.job_id,
        delivery_type=download.shown.delivery_type,
        snapshot_id=download.shown.snapshot_id,
        snapshot_time=download.shown.snapshot_time,
        cancelled=download.cancelled,
        failed=download.failed,
        expired=download.expired,
        finished_at=download.finished_at,
        expires_at=download.expires_at,
        cluster_name=download.ref.cluster_name,
        link_is_live=download.has_link,
    )


def _why_not_found(projects: Collection[Project], results: Sequence[object]) -> str:
    """Say that no project has a job, and what could not be read."""
    names = [project.name for project in projects]
    reasons = [
        f"{name}: {error}"
        for name, error in zip(names, results, strict=True)
        if not (isinstance(error, NotLocated) and not error.unread)
    ]
    where = ", ".join(names)
    if reasons:
        return f"The download was not found. Not everything could be read: {' '.join(reasons)}"
    return f"No cluster of {where} has a download with this job id. Check the id."
