"""The stores over one real database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bot.cancellation.lifecycle import State
from bot.storage.audit_log import AuditLog, History
from bot.storage.database import Database
from bot.storage.job_facts import JobFactsStore
from bot.storage.lease_store import LeaseStore
from bot.storage.notice_store import NoticeStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from tests.support.domain import Clock
from tests.support.timings import DATABASE_TIMEOUT


@dataclass
class Env:
    """A database, its clock, and the stores over it: as of one replica, and some of another."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    entered: list[State] = field(default_factory=list)  # every state that a request entered

    def __post_init__(self) -> None:
        over, entered = (self.database, self.clock), self.entered.append
        self.ledger = RequestStore(*over, on_state_entered=entered)
        self.leases = LeaseStore(*over, "runner-1", on_state_entered=entered)
        self.other = LeaseStore(*over, "runner-2")
        self.outbox = OutboxStore(*over)
        self.notices = NoticeStore(*over)
        self.facts = JobFactsStore(*over)
        self.history = History(*over)
        self.record = AuditLog(self.database)
        self.mine, self.theirs = (WatchStore(*over, f"replica-{number}") for number in (1, 2))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, timeout=DATABASE_TIMEOUT)
    yield database
    await database.close()


@pytest.fixture
def env(database: Database) -> Env:
    return Env(database)
