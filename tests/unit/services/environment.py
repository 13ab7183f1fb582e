"""The services over a real database, with an Atlas that lives in memory."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from bot.atlas import (
    RESTORE_REQUESTED,
    ActivityEvent,
    AtlasCanceller,
    AtlasError,
    AtlasGateway,
    JobNotFound,
    JobRef,
    LocatedJob,
    NotLocated,
    Priority,
    ReadItems,
    RestoreJob,
)
from bot.atlas.activity import parse_event
from bot.cancellation.download import Download
from bot.cancellation.people import ActingPerson, Person
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.request import Request
from bot.services.feed import Feed
from bot.services.projects import Project, Projects
from bot.services.rights import Rights
from bot.services.runner import Runner
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.lease import Lease
from bot.storage.migrate import create_tables
from bot.storage.outbox_store import OutboxStore, Reply
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from tests.support.clock import FakeClock
from tests.support.domain import (
    ADA,
    ALAN,
    GIL,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    restore_job,
    submission,
)


@dataclass
class FakeAtlas:
    """One project in Atlas; it is gateway and canceller.

    Attributes:
        flags: what Atlas says of each job besides that it is a download.
        unread: the ids of jobs that cannot be read.
        failures: the errors of the next reads of jobs, None for an answer.
        answers: of the next DELETEs: a status or an error, and whether the DELETE takes effect.
        broken: the errors of reading the lists of clusters, by name; "" is the list of them all.
        calls: GET and DELETE of jobs, in their order.
    """

    flags: dict[JobRef, dict[str, Any]] = field(default_factory=lambda: {REF: {}})
    clusters_without_jobs: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    events: list[ActivityEvent] = field(default_factory=list)
    failures: list[AtlasError | None] = field(default_factory=list)
    answers: list[tuple[int | AtlasError, bool]] = field(default_factory=list)
    broken: dict[str, AtlasError] = field(default_factory=dict)
    feed_error: AtlasError | None = None
    calls: list[str] = field(default_factory=list)

    async def job(
        self, ref: JobRef, priority: Priority, *, timeout: float | None = None
    ) -> RestoreJob:
        self.calls.append("GET")
        if self.failures and (error := self.failures.pop(0)):
            raise error
        if ref not in self.flags:
            raise JobNotFound(status=404)
        return restore_job(ref, **self.flags[ref])

    async def cluster_of(self, ref: JobRef, job: RestoreJob, priority: Priority) -> str:
        return ref.cluster_name

    async def clusters(self, priority: Priority, *, max_age: float = 0.0) -> ReadItems[str]:
        self._may_read("")
        names = {ref.cluster_name for ref in self.flags} | set(self.clusters_without_jobs)
        return ReadItems(sorted(names))

    async def jobs(
        self, cluster: str, priority: Priority, *, max_age: float = 0.0
    ) -> ReadItems[RestoreJob]:
        self._may_read(cluster)
        of = [ref for ref in self.flags if ref.cluster_name == cluster]
        newest_first = sorted(of, key=lambda ref: ref.job_id, reverse=True)
        read = (restore_job(ref, **self.flags[ref]) for ref in newest_first)
        return ReadItems(read, self.unread)

    async def restore_requests(
        self, since: object, priority: Priority = Priority.WATCH, *, max_age: float = 0.0
    ) -> ReadItems[ActivityEvent]:
        if self.feed_error:
            raise self.feed_error
        return ReadItems(self.events)

    async def locate(self, job_id: str, priority: Priority) -> LocatedJob:
        for ref, flags in self.flags.items():
            if ref.job_id == job_id:
                return LocatedJob(ref, restore_job(ref, **flags))
        raise NotLocated

    async def cancel_restore_job(self, ref: JobRef) -> int:
        self.calls.append("DELETE")
        answer, takes_effect = self.answers.pop(0) if self.answers else (204, True)
        if takes_effect:
            self.flags[ref] = {**self.flags[ref], "cancelled": True}
        if isinstance(answer, AtlasError):
            raise answer
        return answer

    def _may_read(self, cluster: str) -> None:
        if error := self.broken.get(cluster):
            raise error

    @property
    def deletes(self) -> int:
        return self.calls.count("DELETE")


@dataclass
class Environment:
    """The stores, one project, and a runner; `people` are those whom Slack knows."""

    policy: Policy = POLICY
    atlas: FakeAtlas = field(default_factory=FakeAtlas)
    people: dict[str, Person] = field(
        default_factory=lambda: {person.id: person for person in (RINA, ADA, ALAN, GIL)}
    )
    silence: Exception | None = None

    async def open(self) -> None:
        self.clock = FakeClock(START + timedelta(seconds=5))
        self.database = Database("sqlite:///:memory:")
        await self.database.write(create_tables)
        self.lease = Lease(self.database, "this process")
        assert await self.lease.take()
        stores = (self.database, self.clock, self.lease)
        self.requests, self.runs = RequestStore(*stores), RunStore(*stores)
        self.downloads, self.outbox = DownloadStore(*stores), OutboxStore(*stores)
        self.log = AuditLog(self.database, self.clock, None)

    @property
    def project(self) -> Project:
        gateway = cast(AtlasGateway, self.atlas)
        policies = Policies(default=self.policy)
        return Project(id=PROJECT, name="shop", policies=policies, gateway=gateway)

    @property
    def projects(self) -> Projects:
        return Projects([self.project])

    def feed(self) -> Feed:
        return Feed(self.project, self.downloads, self.clock)

    async def resolve(
        self, users: Collection[str], groups: Collection[str]
    ) -> Mapping[str, Person]:
        if self.silence:
            raise self.silence
        return {user: self.people[user] for user in users}

    def runner(self, runs: RunStore | None = None) -> Runner:
        return Runner(
            runs or self.runs,
            self.projects,
            Rights(self.resolve),
            lambda _project: cast(AtlasCanceller, self.atlas),
            self.lease,
            self.clock,
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )

    async def see(self, *refs: JobRef) -> None:
        """Let the watch read a list with these downloads."""
        jobs = [restore_job(ref, **self.atlas.flags.get(ref, {})) for ref in refs or (REF,)]
        listing = Listing(project_id=PROJECT, cluster="prod-eu", jobs=jobs, read_at=self.clock.now)
        await self.downloads.record_listing(listing, self.policy)

    async def ask(self, person: ActingPerson = RINA, **changes: Any) -> Request:
        submitted = await self.requests.submit(person, self.policy, submission(**changes))
        return submitted.request

    async def approved(self) -> Request:
        request = await self.ask()
        return await self.requests.approve(request.id, ADA, self.policy)

    async def run(self, runner: Runner | None = None) -> Request:
        """Ask, approve and run; return the request as it is then."""
        request = await self.approved()
        await (runner or self.runner()).run(request.id)
        return await self.requests.get(request.id)

    async def download(self, ref: JobRef = REF) -> Download:
        stored = await self.downloads.get(ref.project_id, ref.job_id)
        assert stored is not None
        return stored

    async def replies(self) -> list[Reply]:
        return [reply for item in await self.outbox.due(10) for reply in item.replies]


def restore_event(username: str, at: datetime = START) -> ActivityEvent:
    """Return the event of the activity feed that somebody started a download."""
    number = int(at.timestamp()) * 1000 + sum(username.encode())
    payload = {"created": at, "eventTypeName": RESTORE_REQUESTED, "username": username}
    event = parse_event({"id": f"{number:024x}", **payload})
    assert event is not None
    return event


@asynccontextmanager
async def new_environment() -> AsyncIterator[Environment]:
    """The stores over an empty database, one download in Atlas, and people."""
    opened = Environment()
    await opened.open()
    try:
        yield opened
    finally:
        await opened.database.close()
