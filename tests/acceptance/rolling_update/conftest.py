"""A real PostgreSQL for the replicas that are rolled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> str:
    """The URL of an empty database on PostgreSQL."""
    return postgres.new_database()
