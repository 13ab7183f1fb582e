"""Everything below Slack for tests: stores in memory, a policy, people, a fake Atlas."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from bot.atlas import (
    AtlasCanceller,
    AtlasError,
    AtlasGateway,
    JobRef,
    Priority,
    RestoreJob,
)
from bot.cancellation.decisions import Submission
from bot.cancellation.download import Download
from bot.cancellation.errors import CancellationError, RightsNotChecked
from bot.cancellation.people import ActingPerson, Person
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.request import Request, State
from bot.services.projects import Project, Projects
from bot.services.requests import RequestService
from bot.services.rights import Rights
from bot.services.runner import Runner
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.download_store import Changes, DownloadStore, Listing
from bot.storage.lease import Lease
from bot.storage.migrate import create_tables
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from tests.support.clock import FakeClock
from tests.support.domain import (
    ADA,
    ALAN,
    EVE,
    GIL,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    restore_job,
    submission,
)

#: What Atlas answers to a GET: the values of the job that differ, or an error.
Answer: TypeAlias = Mapping[str, Any] | AtlasError
PEOPLE = (RINA, ADA, ALAN, GIL, EVE)
CANCELLED: Mapping[str, Any] = {"cancelled": True}


class FakeAtlas(AtlasGateway, AtlasCanceller):
    """One project in Atlas: a script of answers, and then what the job has become.

    Attributes:
        gets: the next answers to GETs.
        deletes: the next answers to DELETEs: a status, or an error.
        job_values: the values of the job after the script; an accepted DELETE cancels it.
        lost_delete_works: whether a DELETE whose answer is lost cancels the job.
        calls: the methods of all calls so far.
        called_at: when they came, in seconds since the start.
        on_call: called with the method before each call arrives.
        on_delete: called after each DELETE that had effect.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.project_id = PROJECT
        self.gets: deque[Answer] = deque()
        self.deletes: deque[int | AtlasError] = deque()
        self.job_values: dict[str, Any] = {}
        self.lost_delete_works = True
        self.calls: list[str] = []
        self.called_at: list[float] = []
        self.on_call: Callable[[str], None] = lambda _method: None
        self.on_delete: Callable[[], None] = lambda: None

    @property
    def delete_count(self) -> int:
        return self.calls.count("DELETE")

    async def job(
        self, ref: JobRef, priority: Priority, *, timeout: float | None = None
    ) -> RestoreJob:
        assert priority is Priority.CANCEL
        await self._call("GET")
        answer = self.gets.popleft() if self.gets else self.job_values
        if isinstance(answer, AtlasError):
            raise answer
        return restore_job(ref, **answer)

    async def cancel_restore_job(self, ref: JobRef) -> int:
        await self._call("DELETE")
        answer = self.deletes.popleft() if self.deletes else 204
        if isinstance(answer, AtlasError):
            if answer.may_have_taken_effect and self.lost_delete_works:
                self._cancel()
            raise answer
        self._cancel()
        return answer

    def _cancel(self) -> None:
        self.job_values |= CANCELLED
        self.on_delete()

    async def _call(self, method: str) -> None:
        self.on_call(method)
        self.calls.append(method)
        self.called_at.append(self.clock.monotonic() - START.timestamp())
        await asyncio.sleep(0)


class FakeDirectory:
    """Slack's answers about people; None lets it be silent."""

    def __init__(self, clock: FakeClock) -> None:
        self.people: dict[str, Person] | None = {person.id: person for person in PEOPLE}
        self.asked: list[frozenset[str]] = []
        self.seconds = 0.0  #: that an answer takes
        self._clock = clock

    async def resolve(
        self, users: Collection[str], _groups: Collection[str]
    ) -> Mapping[str, Person]:
        self.asked.append(frozenset(users))
        self._clock.advance(self.seconds)
        if self.people is None:
            raise RightsNotChecked("Slack did not answer.")
        return {user: self.people[user] for user in users}


@dataclass(eq=False)
class RecordedRuns(RunStore):
    """The store of runs.

    Attributes:
        on_sent: called after each commit of an attempt.
        troubles: what was shown of lasting faults, each with its time and whether people are asked.
    """

    _: KW_ONLY
    on_sent: Callable[[], None] = lambda: None
    troubles: list[tuple[datetime, str, bool]] = field(default_factory=list)

    async def record_sent(self, request: Request) -> Request:
        sent = await super().record_sent(request)
        self.on_sent()
        return sent

    async def record_trouble(
        self, request: Request, trouble: str, policy: Policy, *, is_long: bool
    ) -> Request:
        self.troubles.append((self.now(), trouble, is_long))
        return await super().record_trouble(request, trouble, policy, is_long=is_long)


@dataclass(eq=False)
class CoreEnvironment:
    """One process of the bot without Slack; time passes where the bot sleeps."""

    database: Database
    policy: Policy = POLICY
    holder: str = "process 1"
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    ends: list[State] = field(default_factory=list)
    changes: list[Changes] = field(default_factory=list)
    errors: list[CancellationError] = field(default_factory=list)  #: that ended runs

    def __post_init__(self) -> None:
        self.atlas, self.directory = FakeAtlas(self.clock), FakeDirectory(self.clock)
        self.lease = Lease(self.database, self.holder, seconds=3600.0)
        over = (self.database, self.clock, self.lease)
        self.requests, self.runs = RequestStore(*over), RecordedRuns(*over)
        self.downloads, self.outbox = DownloadStore(*over), OutboxStore(*over)
        self.log = AuditLog(*over)
        self.build()

    def build(self) -> None:
        """Build the services anew, as a restart with this policy does."""
        policies = Policies(default=self.policy)
        project = Project(id=PROJECT, name="shop", policies=policies, gateway=self.atlas)
        self.projects = Projects([project])
        self.runner = Runner(
            self.runs,
            self.projects,
            Rights(self.directory.resolve),
            lambda _project: self.atlas,
            self.lease,
            self.clock,
            on_end=lambda request, _download: self.ends.append(request.state),
            on_changes=self.changes.append,
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )
        self.service = RequestService(
            self.requests,
            self.projects,
            start_run=lambda _id: None,
            feed_is_readable=lambda _project: True,
            on_changes=self.changes.append,
        )

    async def list_new(self, ref: JobRef = REF, /, **job: Any) -> Download:
        """Let the watch, which began a minute before, list a download."""
        now, self.clock.now = self.clock.now, START - timedelta(minutes=1)
        await self.downloads.start_watch(PROJECT)
        self.clock.now = now
        listing = Listing(
            project_id=PROJECT,
            cluster=ref.cluster_name,
            jobs=[restore_job(ref, **job)],
            read_at=now,
        )
        await self.downloads.record_listing(listing, self.policy)
        return await self.download(ref)

    async def ask(self, person: ActingPerson = RINA, **changes: Any) -> Request:
        """Submit the dialog."""
        asked: Submission = submission(**{"read_at": self.clock.now, **changes})
        return (await self.service.submit(person, asked)).request

    async def approved(self, **changes: Any) -> Request:
        """Return a request of Rina that Ada has approved."""
        request = await self.ask(**changes)
        return await self.service.approve(request.id, ADA)

    async def run(self, request: Request) -> Request:
        """Run a request, and return it as it is then; the store's errors end the run."""
        try:
            await self.runner.run(request.id)
        except CancellationError as error:
            self.errors.append(error)
        return await self.requests.get(request.id)

    async def download(self, ref: JobRef = REF) -> Download:
        stored = await self.downloads.get(ref.project_id, ref.job_id)
        assert stored
        return stored

    async def events(self) -> list[str]:
        return [line["event"] for _, line in await self.log.page(0, None, None)]

    async def replies(self) -> list[str]:
        deliveries = await self.outbox.due(50)
        return [str(reply.kind) for item in deliveries for reply in item.replies]


@asynccontextmanager
async def core_environment(policy: Policy = POLICY) -> AsyncIterator[CoreEnvironment]:
    """Return a process that holds the lease of an empty database in memory."""
    database = Database("sqlite:///:memory:")
    try:
        await database.write(create_tables)
        env = CoreEnvironment(database, policy)
        assert await env.lease.take()
        yield env
    finally:
        await database.close()
