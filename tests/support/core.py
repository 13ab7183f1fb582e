"""Everything below Slack for tests: stores in memory, a policy, people, a fake Atlas."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from bot.atlas import JobRef
from bot.cancellation.change import Change, DownloadChange, RequestChange
from bot.cancellation.decisions import Submission
from bot.cancellation.download import Download
from bot.cancellation.errors import CancellationError, RightsNotChecked
from bot.cancellation.people import ActingPerson, Person
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.request import Request, State
from bot.log_config import log_audit_event
from bot.services.feed import Feed
from bot.services.projects import Project, Projects
from bot.services.requests import RequestService
from bot.services.rights import Rights
from bot.services.runner import Runner
from bot.storage import unit_of_work
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
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
from tests.support.fake_atlas import FakeAtlas

PEOPLE = (RINA, ADA, ALAN, GIL, EVE)


class FakeDirectory:
    """Slack's answers about people.

    Attributes:
        people: those whom Slack knows.
        is_silent: whether Slack does not answer.
        asked: the people of each question.
        seconds: that an answer takes.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.people: dict[str, Person] = {person.id: person for person in PEOPLE}
        self.is_silent = False
        self.asked: list[frozenset[str]] = []
        self.seconds = 0.0
        self._clock = clock

    async def resolve(
        self, users: Collection[str], _groups: Collection[str]
    ) -> Mapping[str, Person]:
        self.asked.append(frozenset(users))
        self._clock.advance(self.seconds)
        if self.is_silent:
            raise RightsNotChecked("Slack did not answer.")
        return {user: self.people[user] for user in users}


@dataclass(eq=False)
class CoreEnvironment:
    """One process of the bot without Slack; time passes where the bot sleeps.

    Attributes:
        changes: what the transactions have changed.
        errors: those that ended runs.
        messages_changed_at: the times of the commits that wrote messages.
        on_messages: called after each of them.
        on_event: called with each audit event, once it is committed.
    """

    database: Database
    policy: Policy = POLICY
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    changes: list[Change] = field(default_factory=list)
    errors: list[CancellationError] = field(default_factory=list)
    messages_changed_at: list[datetime] = field(default_factory=list)
    on_messages: Callable[[], None] = lambda: None
    on_event: Callable[[Mapping[str, Any]], None] = lambda _event: None

    def __post_init__(self) -> None:
        self.atlas, self.directory = FakeAtlas(self.clock), FakeDirectory(self.clock)
        self.lease = Lease(self.database, "process 1", seconds=3600.0)
        over, wake = (self.database, self.clock, self.lease), self._note_messages
        self.requests = RequestStore(*over, on_messages=wake)
        self.runs = RunStore(*over, on_messages=wake)
        self.downloads = DownloadStore(*over, on_messages=wake)
        self.outbox = OutboxStore(*over, on_messages=wake)
        self.log = AuditLog(*over)
        self.database.report = self.changes.append
        self.build()

    def _note_messages(self) -> None:
        self.messages_changed_at.append(self.clock.now)
        self.on_messages()

    def log_event(self, event: Mapping[str, Any]) -> None:
        log_audit_event(event)
        self.on_event(event)

    def build(self) -> None:
        """Build the services again, as a restart with this policy does."""
        self.projects = Projects([self.project])
        self.runner = Runner(
            self.runs,
            self.projects,
            Rights(self.directory.resolve),
            lambda _project: self.atlas,
            self.lease,
            self.clock,
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )
        self.service = RequestService(
            self.requests,
            self.projects,
            start_run=lambda _id: None,
            feed_is_readable=lambda _project: True,
        )

    @property
    def ends(self) -> list[State]:
        """The states in which requests ended."""
        requests = (item for item in self.changes if isinstance(item, RequestChange))
        return [item.after.state for item in requests if item.after.state.has_ended]

    @property
    def download_changes(self) -> list[DownloadChange]:
        return [item for item in self.changes if isinstance(item, DownloadChange)]

    @property
    def project(self) -> Project:
        """The project with today's policy."""
        policies = Policies(default=self.policy)
        return Project(id=PROJECT, name="shop", policies=policies, gateway=self.atlas)

    def feed(self) -> Feed:
        return Feed(self.project, self.downloads, self.clock)

    async def see(self, *refs: JobRef) -> None:
        """Let the watch read a list with these downloads of one cluster; `REF` without any."""
        seen = refs or (REF,)
        listing = Listing(
            project_id=PROJECT,
            cluster=seen[0].cluster_name,
            jobs=[restore_job(ref, **self.atlas.jobs_now.setdefault(ref, {})) for ref in seen],
            read_at=self.clock.now,
        )
        await self.downloads.record_listing(listing, self.policy)

    async def list_new(self, ref: JobRef = REF, /, **job: Any) -> Download:
        """Let the watch, which began a minute before, list a download."""
        await self.downloads.start_watch(PROJECT, START - timedelta(minutes=1))
        self.atlas.jobs_now[ref] = job
        await self.see(ref)
        return await self.download(ref)

    async def ask(self, person: ActingPerson = RINA, **changes: Any) -> Request:
        """Submit the dialog about a job of Atlas."""
        asked: Submission = submission(**{"read_at": self.clock.now, **changes})
        self.atlas.jobs_now.setdefault(asked.ref, {})
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
async def core_environment(
    policy: Policy = POLICY,
    open_database: Callable[[str], Database] = Database,
    clock: FakeClock | None = None,
) -> AsyncIterator[CoreEnvironment]:
    """Return a process that holds the lease of an empty database in memory."""
    database = open_database("sqlite:///:memory:")
    try:
        await database.write(create_tables)
        env = CoreEnvironment(database, policy, clock or FakeClock(START))
        assert await env.lease.take()
        with patch.object(unit_of_work, "log_audit_event", env.log_event):
            yield env
    finally:
        await database.close()
