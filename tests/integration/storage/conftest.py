"""The stores over one real database."""

from collections.abc import AsyncIterator

import pytest

from bot.cancellation.lifecycle import State
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from tests.support.domain import Clock
from tests.support.timings import DATABASE_TIMEOUT


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, timeout=DATABASE_TIMEOUT)
    yield database
    await database.close()


@pytest.fixture
def entered() -> list[State]:
    """Every state that a request entered, as the metrics are told."""
    return []


@pytest.fixture
def ledger(database: Database, clock: Clock, entered: list[State]) -> RequestStore:
    return RequestStore(database, clock, on_state_entered=entered.append)


@pytest.fixture
def leases(database: Database, clock: Clock, entered: list[State]) -> LeaseStore:
    return LeaseStore(database, clock, "runner-1", on_state_entered=entered.append)


@pytest.fixture
def outbox(database: Database, clock: Clock) -> OutboxStore:
    return OutboxStore(database, clock)


@pytest.fixture
def record(database: Database) -> AuditLog:
    return AuditLog(database)
