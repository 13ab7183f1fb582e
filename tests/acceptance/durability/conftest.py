"""Real databases for bots that die: a SQLite file and a PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    NewLedger = Callable[[], str]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ledgers(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The URLs of empty databases, enough of them for many houses side by side."""
    if kind == "sqlite":
        return [f"sqlite:///{tmp_path}/ledger-{number}.db" for number in range(20)]
    server: PostgresServer = request.getfixturevalue("postgres")
    return [server.new_database() for _ in range(20)]


@pytest.fixture
def on_sqlite(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> str:
    """The URL of an empty database on PostgreSQL."""
    return postgres.new_database()
