"""The cancellation service over a SQLite file, with an Atlas in memory and faults on demand."""

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, insert, select

from bot.cancellation.lifecycle import Request
from bot.cancellation.people import Person
from bot.cancellation.policy import Policies, Policy
from bot.services.job_search import JobFinder
from bot.services.jobs import ActivityFeeds, Jobs
from bot.services.projects import Project, Projects
from bot.services.rights import RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.storage import request_writer, tables
from bot.storage.database import Database
from bot.storage.history import History
from bot.storage.job_store import JobStore
from bot.storage.migrate import create_tables
from bot.storage.request_store import RequestStore
from bot.storage.tables import request_to_row
from tests.support.clock import FakeClock
from tests.support.domain import PROJECT_ID, a_job, resolve_members
from tests.support.fake_atlas import FakeAtlas
from tests.support.timings import DATABASE_TIMEOUT

T = TypeVar("T")

OPEN_TO_ALL = Policy()
CLUSTER = "prod-eu"


class FaultyDatabase(Database):
    """A database whose transactions wait for a gate, or fail.

    Attributes:
        gate: when set, every transaction waits for it.
        read_error: raised by every read.
        write_error: raised by every write.
    """

    gate: asyncio.Event | None = None
    read_error: Exception | None = None
    write_error: Exception | None = None

    async def read(self, work: Callable[[Connection], T], **options: Any) -> T:
        await self._interfere(self.read_error)
        return await super().read(work, **options)

    async def write(self, work: Callable[[Connection], T], **options: Any) -> T:
        await self._interfere(self.write_error)
        return await super().write(work, **options)

    async def _interfere(self, error: Exception | None) -> None:
        if self.gate:
            await self.gate.wait()
        if error:
            raise error


class IdleRunner(Runner):
    """A runner that runs nothing, and records the started requests."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, request_id: str) -> None:
        self.started.append(request_id)


def jobs_service(projects: Projects, database: Database, clock: FakeClock) -> Jobs:
    """The service of jobs, with a budget for each project."""
    feeds = ActivityFeeds(projects, clock, monotonic=clock.monotonic)
    return Jobs(projects, JobStore(database, clock), feeds)


class ServiceOnSqlite:
    """The service with its collaborators for a test.

    Attributes:
        atlas: the API of each project, by its id. The first project has one job, `JOB_ID`.
        people: who is not a full member in every group, by user id.
        clock: stands at noon, the time of the requests in `tests.support.domain`.
    """

    def __init__(
        self, directory: Path, policy: Policy | Policies = OPEN_TO_ALL, *names: str
    ) -> None:
        policies = policy if isinstance(policy, Policies) else Policies(policy)
        names = names or ("shop-prod",)
        ids = [PROJECT_ID, *(f"{number:024x}" for number in range(1, len(names)))]
        self.atlas = {each: FakeAtlas({CLUSTER: [a_job()]}) for each in ids}
        self.projects = Projects(
            Project(id=each, name=name, policies=policies, atlas=self.atlas[each])
            for each, name in zip(ids, names, strict=True)
        )
        self.clock = FakeClock()
        self.people: dict[str, Person] = {}
        self.runs = IdleRunner()
        self.database = FaultyDatabase(new_database(directory), timeout=DATABASE_TIMEOUT)
        self.finder = JobFinder()
        self.history = History(self.database, self.clock)
        self.service = CancellationService(
            RequestStore(self.database, self.clock),
            self.projects,
            self.runs,
            RightsCheck(self.projects, self._resolve),
            jobs=jobs_service(self.projects, self.database, self.clock),
        )

    async def _resolve(self, users: Collection[str], groups: Collection[str]) -> dict[str, Person]:
        return await resolve_members(users, groups) | {
            user: self.people[user] for user in users if user in self.people
        }

    async def insert(self, request: Request) -> Request:
        """Write a request in any state, without its history."""
        await self.database.write(lambda db: _insert(db, request))
        return await self.request(request.id)

    async def request(self, request_id: str) -> Request:
        return await self.service.requests.get(request_id)

    async def requests(self) -> list[Request]:
        """Return all requests, in the order of their ids."""
        ids = select(tables.requests.c.id).order_by(tables.requests.c.id)
        found = await self.database.read(lambda db: db.execute(ids).scalars().all())
        return [await self.request(each) for each in found]

    async def note_card(self, request: Request, channel: str, ts: str) -> Request:
        """Record where the request's card was posted, with the outbox's statement."""
        place = {"of": request.id, "card_channel": channel, "card_ts": ts}
        await self.database.write(lambda db: db.execute(request_writer.UPDATE_REQUEST, place))
        return await self.request(request.id)

    async def close(self) -> None:
        await self.finder.close()
        await self.database.close()


def new_database(directory: Path) -> str:
    """Return the URL of a new database with empty tables."""
    path = directory / f"bot-{len(list(directory.glob('*.db')))}.db"
    path.write_bytes(_empty_database())
    return f"sqlite:///{path}"


@cache
def _empty_database() -> bytes:
    """Return an empty database with its tables, which take longer to create than to copy."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            create_tables(connection)
        engine.dispose()
        return path.read_bytes()


def _insert(db: Connection, request: Request) -> None:
    card = request.card
    values = request_to_row(request) | {
        "outcome": json.dumps(asdict(request.outcome)),
        "card_channel": card.channel if card else None,
        "card_ts": card.ts if card else None,
    }
    db.execute(insert(tables.requests).values(values))
    for approval in request.approvals:
        row = {"request": request.id, "user": approval.user, "at": approval.at}
        db.execute(insert(tables.approvals).values(row))
