"""One project's Atlas in memory for tests of services: a gateway and a canceller in one."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from bot.atlas import (
    ActivityEvent,
    AtlasCanceller,
    AtlasGateway,
    ClusterNotFound,
    JobNotFound,
    JobRef,
    LocatedJob,
    NotLocated,
    Priority,
    ReadItems,
    RestoreJob,
)
from bot.atlas.activity import parse_event

PROJECT_ID = "5b6212af90dc76637950a2c6"
#: The calls that `faults` and `gates` know, beside the names of clusters.
CLUSTERS, EVENTS, DELETE = "/clusters", "/events", "DELETE"


def event_near(job_id: str, name: str, created: datetime) -> ActivityEvent:
    """The event that Atlas writes right after the start of a job, by the user `name`."""
    event = parse_event(
        {
            "id": f"{job_id[:18]}{int(job_id[18:], 16) + 1:06x}",
            "created": created.isoformat(),
            "eventTypeName": "CPS_RESTORE_REQUESTED_AUDIT",
            "username": name,
        }
    )
    assert event
    return event


class FakeAtlas(AtlasGateway, AtlasCanceller):
    """A project in memory; it has no limits, and remembers no answer.

    Attributes:
        jobs_of: every cluster's jobs, newest first.
        events: the restore requests of the activity feed.
        faults: what a call raises, by cluster, or `CLUSTERS`, `EVENTS`, `DELETE`.
        gates: what a call waits for, by the same names.
        unread: the ids of jobs that cannot be read, in every cluster.
        calls: the names of the calls in their order.
        priorities: what each read was for.
        deleted: the jobs for which a DELETE arrived.
        is_deaf: whether an accepted DELETE changes nothing.
    """

    def __init__(
        self,
        jobs: Mapping[str, Iterable[RestoreJob]] | None = None,
        *,
        project_id: str = PROJECT_ID,
        name: str = "shop-prod",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.project_id, self.name, self.now = project_id, name, now
        self.jobs_of: dict[str, list[RestoreJob]] = {n: [*j] for n, j in (jobs or {}).items()}
        self.events: list[ActivityEvent] = []
        self.faults: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.unread: list[str] = []
        self.calls: list[str] = []
        self.priorities: list[Priority] = []
        self.deleted: list[JobRef] = []
        self.is_deaf = False

    async def close(self) -> None:
        pass

    async def project_name(self) -> str:
        return self.name

    async def clusters(self, priority: Priority, *, max_age: float = 0.0) -> ReadItems[str]:
        read_at = await self._read(CLUSTERS, priority)
        return ReadItems(sorted(self.jobs_of), read_at=read_at)

    async def jobs(
        self, cluster: str, priority: Priority, *, max_age: float = 0.0
    ) -> ReadItems[RestoreJob]:
        read_at = await self._read(cluster, priority)
        if cluster not in self.jobs_of:
            raise ClusterNotFound
        return ReadItems(self.jobs_of[cluster], self.unread, read_at)

    async def restore_requests(
        self, since: datetime, priority: Priority = Priority.WATCH, *, max_age: float = 0.0
    ) -> ReadItems[ActivityEvent]:
        read_at = await self._read(EVENTS, priority)
        recent = (event for event in self.events if event.created >= since)
        return ReadItems(recent, read_at=read_at)

    async def job(
        self, ref: JobRef, priority: Priority, *, timeout: float | None = None
    ) -> RestoreJob:
        await self._read(ref.cluster_name, priority)
        for job in self.jobs_of.get(ref.cluster_name, ()):
            if job.id == ref.job_id:
                return job
        raise JobNotFound

    async def locate(self, job_id: str, priority: Priority) -> LocatedJob:
        for name, jobs in self.jobs_of.items():
            await self._read(name, priority)
            for job in jobs:
                if job.id == job_id:
                    own = job.cluster_name or name
                    return LocatedJob(JobRef(self.project_id, own, job_id), job)
        raise NotLocated

    async def cancel_restore_job(self, ref: JobRef) -> int:
        """Cancel the job; a fault is raised after that, as for an answer that got lost."""
        self.calls.append(DELETE)
        self.deleted.append(ref)
        if gate := self.gates.get(DELETE):
            await gate.wait()
        if not self.is_deaf:
            self.change(ref.job_id, cancelled=True)
        if fault := self.faults.get(DELETE):
            raise fault
        return 204

    def change(self, job_id: str, **changes: object) -> None:
        """Change what Atlas says of a job."""
        for jobs in self.jobs_of.values():
            jobs[:] = [job.model_copy(update=changes) if job.id == job_id else job for job in jobs]

    async def _read(self, name: str, priority: Priority) -> datetime:
        """Note a read, and let it wait or fail; return when it began."""
        began = self.now()
        self.calls.append(name)
        self.priorities.append(priority)
        await asyncio.sleep(0)
        if gate := self.gates.get(name):
            await gate.wait()
        if fault := self.faults.get(name):
            raise fault
        return began
