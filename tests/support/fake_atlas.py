"""One project's Atlas in memory: a gateway and a canceller that follow a script."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from bot.atlas import (
    ActivityEvent,
    AtlasCanceller,
    AtlasError,
    AtlasGateway,
    JobNotFound,
    JobRef,
    Priority,
    ReadItems,
    RestoreJob,
)
from bot.atlas.activity import RESTORE_REQUESTED, parse_event
from bot.atlas.errors import TimedOut
from tests.support.clock import FakeClock
from tests.support.domain import PROJECT, REF, START, restore_job

#: What a read of a job answers: the values that differ from a download in progress, or an error.
Answer: TypeAlias = Mapping[str, Any] | AtlasError
CANCELLED: Mapping[str, Any] = {"cancelled": True}
#: The names of calls; the list of a cluster's jobs has the cluster's name.
GET, DELETE, CLUSTERS, EVENTS = "GET", "DELETE", "/clusters", "/events"


class FakeAtlas(AtlasGateway, AtlasCanceller):
    """A project in memory; it has no limits, and remembers no answer.

    Attributes:
        jobs_now: what Atlas says of each job besides that it is a download in progress.
        empty_clusters: the names of clusters without jobs.
        unread: the ids of jobs that cannot be read, in every list.
        unread_clusters: the names of clusters that cannot be read.
        events: the restore requests of the activity feed.
        gets: the next answers to reads of a job; after them `jobs_now` holds. `TimedOut` comes
            when the time limit of the read is over.
        deletes: the next answers to DELETEs: a status, or an error.
        lost_delete_works: whether a DELETE whose answer is lost cancels the job.
        seconds: that each call takes, where the loop sleeps.
        age: of the answers to reads of lists, which another caller has read before.
        faults: what every call of a name raises.
        gates: what every call of a name waits for.
        calls: the names of the calls in their order.
        called_at: when they came, in seconds since `START`.
        priorities: what each read was for.
        on_call: called with the name before each call arrives.
        on_cancelled: called when a DELETE has had its effect, before its answer.
    """

    def __init__(
        self,
        clock: FakeClock,
        downloads: Iterable[JobRef] = (REF,),
        *,
        project_id: str = PROJECT,
    ) -> None:
        self.clock, self.project_id = clock, project_id
        self.jobs_now: dict[JobRef, Mapping[str, Any]] = {ref: {} for ref in downloads}
        self.empty_clusters: list[str] = []
        self.unread: list[str] = []
        self.unread_clusters: list[str] = []
        self.events: list[ActivityEvent] = []
        self.gets: deque[Answer] = deque()
        self.deletes: deque[int | AtlasError] = deque()
        self.lost_delete_works = True
        self.seconds = 0.0
        self.age = timedelta(0)
        self.faults: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.calls: list[str] = []
        self.called_at: list[float] = []
        self.priorities: list[Priority] = []
        self.on_call: Callable[[str], None] = lambda _name: None
        self.on_cancelled: Callable[[], None] = lambda: None

    @property
    def delete_count(self) -> int:
        return self.calls.count(DELETE)

    async def clusters(self, priority: Priority, *, max_age: float = 0.0) -> ReadItems[str]:
        read_at = await self._read(CLUSTERS, priority)
        names = {ref.cluster_name for ref in self.jobs_now} | {*self.empty_clusters}
        return ReadItems(sorted(names), self.unread_clusters, read_at)

    async def jobs(
        self, cluster: str, priority: Priority, *, max_age: float = 0.0
    ) -> ReadItems[RestoreJob]:
        read_at = await self._read(cluster, priority)
        refs = [ref for ref in self.jobs_now if ref.cluster_name == cluster]
        newest_first = sorted(refs, key=lambda ref: ref.job_id, reverse=True)
        jobs = (restore_job(ref, **self.jobs_now[ref]) for ref in newest_first)
        return ReadItems(jobs, self.unread, read_at)

    async def restore_requests(
        self, since: datetime, priority: Priority = Priority.WATCH, *, max_age: float = 0.0
    ) -> ReadItems[ActivityEvent]:
        read_at = await self._read(EVENTS, priority)
        recent = (event for event in self.events if event.created >= since)
        return ReadItems(recent, read_at=read_at)

    async def job(
        self, ref: JobRef, priority: Priority, *, timeout: float | None = None
    ) -> RestoreJob:
        await self._read(GET, priority)
        answer = self.gets.popleft() if self.gets else self.jobs_now.get(ref)
        if answer is None:
            raise JobNotFound(status=404)
        if isinstance(answer, TimedOut):
            assert timeout is not None, "nothing ends a read without a time limit"
            self.clock.advance(timeout)
        if isinstance(answer, AtlasError):
            raise answer
        return restore_job(ref, **answer)

    async def cancel_restore_job(self, ref: JobRef) -> int:
        await self._call(DELETE)
        answer = self.deletes.popleft() if self.deletes else 204
        if isinstance(answer, AtlasError):
            if answer.may_have_taken_effect and self.lost_delete_works:
                self._cancel(ref)
            raise answer
        self._cancel(ref)
        return answer

    def _cancel(self, ref: JobRef) -> None:
        self.jobs_now[ref] = {**self.jobs_now[ref], **CANCELLED}
        self.on_cancelled()

    async def _read(self, name: str, priority: Priority) -> datetime:
        """Note a read, and let it wait or fail; return when it began."""
        began = self.clock.now - self.age
        self.priorities.append(priority)
        await self._call(name)
        return began

    async def _call(self, name: str) -> None:
        self.on_call(name)
        self.calls.append(name)
        self.called_at.append((self.clock.now - START).total_seconds())
        await asyncio.sleep(self.seconds)
        if gate := self.gates.get(name):
            await gate.wait()
        if fault := self.faults.get(name):
            raise fault


def restore_event(username: str, at: datetime = START) -> ActivityEvent:
    """Return the event of the activity feed that somebody started a download."""
    number = int(at.timestamp()) * 1000 + sum(username.encode())
    payload = {"created": at, "eventTypeName": RESTORE_REQUESTED, "username": username}
    event = parse_event({"id": f"{number:024x}", **payload})
    assert event is not None
    return event
