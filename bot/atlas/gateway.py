"""The one way to read a project in Atlas: limited, shared, and reused while young."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.atlas.activity import ActivityEvent
from bot.atlas.errors import (
    AtlasError,
    ClusterNotFound,
    JobNotFound,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RoleMissing,
    WrongClusterKind,
)
from bot.atlas.limiter import CallLimiter, Demand, Priority
from bot.atlas.models import JobRef, ReadItems, RestoreJob
from bot.atlas.reader import AtlasReader, Gate
from bot.atlas.shared_reads import KEPT_FOR, SharedReads, gate_of, timeout_of
from bot.tasks import cancel_and_wait

LOCATE_TIMEOUT = 12.0  #: seconds for a search: people get an answer within 15

#: Errors that concern the whole project: no other cluster of it can be read.
PROJECT_ERRORS = (KeyRefused, RoleMissing, NotOnAccessList, ProjectNotFound)
#: Errors that mean that a cluster has no such job, or no job that Atlas would cancel.
NOT_FOUND_ERRORS = (JobNotFound, ClusterNotFound, WrongClusterKind)
UNNAMED_CLUSTER = "a cluster whose name could not be read"


class NotLocated(JobNotFound):
    """No cluster of the project that could be read has the job."""

    sentence = "No cluster of the project has such a download: check its job id."
    unread: tuple[str, ...] = ()  #: the clusters that could not be read: one may have the job


@dataclass(frozen=True, slots=True)
class LocatedJob:
    """A job that was found, with the cluster that Atlas names."""

    ref: JobRef
    job: RestoreJob


@dataclass(eq=False)
class AtlasGateway:
    """Reads one project; none of its parts leads to a way to send a DELETE.

    Each read raises `InvalidName` before anything is sent, and `AtlasError`. Reads for a person
    are tried again within their timeout. The others are tried once, as their callers try again.
    Reads for CANCEL are neither shared nor reused.
    """

    project_id: str
    reader: AtlasReader
    limiter: CallLimiter
    now: Callable[[], datetime] = lambda: datetime.now(UTC)  #: the clock of `ReadItems.read_at`
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._lists = SharedReads(self.project_id, self.limiter, self.now, self.monotonic)
        self._name: str | None = None

    async def close(self) -> None:
        """Cancel the reads of lists in flight."""
        await self._lists.close()

    async def project_name(self) -> str:
        """Return the name that the project has in Atlas; it is read once."""
        if self._name is None:
            reader = self._limited(Priority.PERSON)
            self._name = (await reader.project(self.project_id)).name
        return self._name

    async def clusters(self, priority: Priority, *, max_age: float = 0.0) -> ReadItems[str]:
        """Return the sorted names of the clusters; in v2 also of deleted ones with backups."""

        async def load(gate: Gate) -> ReadItems[str]:
            clusters = await self.reader.through(gate).clusters(
                self.project_id,
                retry=priority is Priority.PERSON,
                timeout=timeout_of(priority),
            )
            names = sorted((cluster.name for cluster in clusters), key=str.casefold)
            return ReadItems(names, clusters.unread)

        return await self._lists.get("clusters", load, priority, max_age)

    async def jobs(
        self, cluster: str, priority: Priority, *, max_age: float = 0.0
    ) -> ReadItems[RestoreJob]:
        """Return all restore jobs of a cluster, newest first, also those that are over."""

        async def load(gate: Gate) -> ReadItems[RestoreJob]:
            return await self.reader.through(gate).restore_jobs(
                self.project_id,
                cluster,
                retry=priority is Priority.PERSON,
                timeout=timeout_of(priority),
            )

        return await self._lists.get(f"jobs of {cluster}", load, priority, max_age)

    async def restore_requests(
        self, since: datetime, priority: Priority = Priority.WATCH, *, max_age: float = 0.0
    ) -> ReadItems[ActivityEvent]:
        """Return the restore requests in the activity feed since then, newest first."""

        async def load(gate: Gate) -> ReadItems[ActivityEvent]:
            return await self.reader.through(gate).events(
                self.project_id,
                since,
                retry=priority is Priority.PERSON,
                timeout=timeout_of(priority),
            )

        events = await self._lists.get("events", load, priority, max_age, since)
        recent = (event for event in events if event.created >= since)
        return ReadItems(recent, events.unread, events.read_at)

    async def job(
        self, ref: JobRef, priority: Priority, *, timeout: float | None = None
    ) -> RestoreJob:
        """Read one job as it is now, within `timeout` seconds."""
        return await self._limited(priority).restore_job(
            ref,
            retry=priority is Priority.PERSON,
            timeout=timeout_of(priority) if timeout is None else timeout,
        )

    async def cluster_of(self, ref: JobRef, job: RestoreJob, priority: Priority) -> str:
        """Return the cluster of a job: that of its own link, else the one whose list has it.

        Raises `JobNotFound` where neither says so.
        """
        if job.cluster_name:
            return job.cluster_name
        jobs = await self.jobs(ref.cluster_name, priority)
        if any(listed.id == job.id for listed in jobs):
            return ref.cluster_name
        raise JobNotFound

    async def locate(self, job_id: str, priority: Priority) -> LocatedJob:
        """Find a job in the project's clusters, which are read side by side.

        Raises `NotLocated`, which has the clusters that could not be read in time, and the error
        of one that concerns the whole project.
        """
        clusters = await self.clusters(priority, max_age=KEPT_FOR)
        refs = [JobRef(self.project_id, name, job_id) for name in clusters]
        tasks = [asyncio.create_task(self._try(ref, priority)) for ref in refs]
        unread = {ref.cluster_name for ref in refs}
        try:
            for finished in asyncio.as_completed(tasks, timeout=LOCATE_TIMEOUT):
                outcome = await finished
                if isinstance(outcome, LocatedJob):
                    return outcome
                unread.discard(outcome)
        except TimeoutError:
            pass  # the clusters without an answer are among the unread ones
        finally:
            await cancel_and_wait(*tasks)
        raise _not_located([*sorted(unread), *(UNNAMED_CLUSTER for _ in clusters.unread)])

    async def _try(self, ref: JobRef, priority: Priority) -> LocatedJob | str:
        """Return the job, or the name of a cluster without it, or "" where that is not known."""
        try:
            job = await self.job(ref, priority)
            name = await self.cluster_of(ref, job, priority)
        except NOT_FOUND_ERRORS:
            return ref.cluster_name
        except PROJECT_ERRORS:
            raise
        except AtlasError:
            return ""
        return LocatedJob(JobRef(ref.project_id, name, ref.job_id), job)

    def _limited(self, priority: Priority) -> AtlasReader:
        """Return a reader whose calls wait for their turns."""
        return self.reader.through(gate_of(self.limiter, Demand(self.project_id, priority)))


def _not_located(unread: list[str]) -> NotLocated:
    names = ", ".join(unread)
    sentence = f"The download was not found, but not every cluster could be read: {names}."
    error = NotLocated(sentence if unread else None)
    error.unread = tuple(unread)
    return error
