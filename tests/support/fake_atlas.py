"""An Atlas in memory for searches: clusters, jobs, faults, and the calls."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.atlas import (
    ActivityEvent,
    AtlasCanceller,
    AtlasReader,
    Cluster,
    ClusterNotFound,
    Credentials,
    JobNotFound,
    JobRef,
    ReadItems,
    RestoreJob,
)
from bot.atlas.models import parse_event
from bot.services.projects import Project


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


def canceller_of(project: Project) -> AtlasCanceller:
    """Return the project's fake, which cancels too."""
    assert isinstance(project.atlas, AtlasCanceller)
    return project.atlas


@dataclass
class UnconnectedAtlas(AtlasReader, AtlasCanceller):
    """The base of fakes that are dataclasses: without credentials and connections."""

    credentials: Credentials = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pass


class FakeAtlas(AtlasReader, AtlasCanceller):
    """One project's API.

    Attributes:
        jobs: every cluster's jobs, newest first.
        events_found: the events of the activity feed, unless `feed_fault` is raised.
        feed_gate: what a read of the activity feed waits for.
        feed_reads: how often the feed was read.
        faults: what a call about a cluster raises; under the empty name, the list of clusters.
        gates: what a call about a cluster waits for; under the empty name, the list of clusters.
        unread: the ids of jobs that cannot be read, in every cluster.
        calls: the clusters that were read, in that order; empty for their list.
        most: how many calls were under way at once.
        left: called after each call about a cluster with the number of calls.
    """

    def __init__(self, jobs: Mapping[str, Sequence[RestoreJob]] | None = None) -> None:
        self.jobs: dict[str, Sequence[RestoreJob]] = dict(jobs or {})
        self.key_id = "botkey"
        self.events_found: list[ActivityEvent] = []
        self.feed_fault: Exception | None = None
        self.feed_gate: asyncio.Event | None = None
        self.feed_reads = 0
        self.faults: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.unread: list[str] = []
        self.calls: list[str] = []
        self.left: Callable[[int], None] = lambda _count: None
        self._now = [0]

    @property
    def most(self) -> int:
        return max(self._now)

    async def clusters(
        self, project_id: str, *, timeout: float | None = None
    ) -> ReadItems[Cluster]:
        await self._called("")
        return ReadItems(Cluster(name=name) for name in self.jobs)

    async def restore_jobs(
        self,
        project_id: str,
        cluster_name: str,
        *,
        retry: bool = True,
        timeout: float | None = None,
    ) -> ReadItems[RestoreJob]:
        await self._called(cluster_name)
        if cluster_name not in self.jobs:
            raise ClusterNotFound
        return ReadItems(self.jobs[cluster_name], self.unread)

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        await self._called(ref.cluster_name)
        for job in self.jobs.get(ref.cluster_name, ()):
            if job.id == ref.job_id:
                return job
        raise JobNotFound

    async def events(self, project_id: str, since: datetime) -> list[ActivityEvent]:
        self.feed_reads += 1
        if self.feed_gate:
            await self.feed_gate.wait()
        if self.feed_fault:
            raise self.feed_fault
        return [event for event in self.events_found if event.created >= since]

    async def cancel_restore_job(self, ref: JobRef) -> int:
        raise AssertionError("a search must not cancel")

    async def _called(self, cluster: str) -> None:
        self.calls.append(cluster)
        self._now.append(self._now[-1] + 1)
        try:
            await asyncio.sleep(0)
            if gate := self.gates.get(cluster):
                await gate.wait()
            if fault := self.faults.get(cluster):
                raise fault
        finally:
            self._now.append(self._now[-1] - 1)
            if cluster:
                self.left(len([each for each in self.calls if each]))
