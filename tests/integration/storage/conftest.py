"""The stores over one real database."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from bot.cancellation.errors import MaybeRecorded
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.posts import RequestPost
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.history import History
from bot.storage.job_store import JobStore
from bot.storage.lease_store import LeaseStore
from bot.storage.notice_store import NoticeStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from tests.support.clock import FakeClock
from tests.support.domain import RINA
from tests.support.timings import DATABASE_TIMEOUT


@dataclass
class Stores:
    """A database, its clock, and the stores over it: as of one replica, and some of another."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        over = (self.database, self.clock)
        self.store = RequestStore(*over)
        self.leases = LeaseStore(*over, "runner-1")
        self.other = LeaseStore(*over, "runner-2")
        self.outbox = OutboxStore(*over)
        self.notices = NoticeStore(*over)
        self.jobs = JobStore(*over)
        self.history = History(*over)
        self.record = AuditLog(self.database)
        self.watch = WatchStore(*over, "replica-1")
        self._owners = count(1)

    async def events(self, **equal: Any) -> list[str]:
        """Return the names of the recorded events."""
        return [line.event async for line in self.record.events(**equal)]

    def new_owner(self) -> str:
        """Return another replica, which waits for the claims of all others."""
        return f"replica-{next(self._owners)}"

    async def claim_posts(self) -> list[RequestPost]:
        found = await self.outbox.claim(self.new_owner(), 50, 0, 50)
        return [post for post in found if isinstance(post, RequestPost)]

    async def posted(self, request: Request) -> Request:
        """Create a request, and post its card."""
        created = await self.store.create(request, RINA)
        (card,) = await self.claim_posts()
        await self.outbox.mark_sent(card, "C0OPS", "1.1")
        return created

    async def claim_run(self, request: Request) -> Request:
        running = await self.leases.claim(request.id)
        assert running
        return running

    async def end_run(self, request: Request, state: State = State.CANCELLED) -> Request:
        """Run a request to its end without a DELETE."""
        return await self.leases.settle(await self.claim_run(request), state, Outcome())


T = TypeVar("T")


class LostAnswers(Database):
    """A database that commits each write, and loses the answer of the next one if `loses`."""

    loses = False

    async def write(self, work: Callable[[Connection], T], *, background: str = "") -> T:
        result = await super().write(work, background=background)
        is_lost, self.loses = self.loses, False
        if is_lost:
            raise MaybeRecorded
        return result


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, timeout=DATABASE_TIMEOUT)
    yield database
    await database.close()


@pytest.fixture
async def lossy(database_url: str) -> AsyncIterator[LostAnswers]:
    """The same database, through connections that lose answers."""
    database = LostAnswers(database_url, timeout=DATABASE_TIMEOUT)
    yield database
    await database.close()


@pytest.fixture
def env(database: Database) -> Stores:
    return Stores(database)
