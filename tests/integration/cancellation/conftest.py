"""The ledger's parts over one real database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.cancellation.database import Database
from bot.cancellation.leases import Leases
from bot.cancellation.ledger import Ledger
from bot.cancellation.postbox import PostBox
from bot.cancellation.record import Record
from tests.domain import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.cancellation.lifecycle import State


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def entered() -> list[State]:
    """Every state that a request entered, as the metrics are told."""
    return []


@pytest.fixture
def ledger(database: Database, clock: Clock, entered: list[State]) -> Ledger:
    return Ledger(database, clock, entered.append)


@pytest.fixture
def leases(database: Database, clock: Clock, entered: list[State]) -> Leases:
    return Leases(database, clock, "runner-1", entered=entered.append)


@pytest.fixture
def postbox(database: Database, clock: Clock) -> PostBox:
    return PostBox(database, clock)


@pytest.fixture
def record(database: Database) -> Record:
    return Record(database)
