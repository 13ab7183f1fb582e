"""Real databases for integration tests: a SQLite file and a PostgreSQL server."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.storage.migrate import ensure_current
from tests.support.postgres import PostgresServer

KINDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest tables, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "bot.db"
    asyncio.run(ensure_current(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_server(postgres: PostgresServer) -> PostgresServer:
    """A server whose database for all tests in turn has the newest tables."""
    asyncio.run(ensure_current(postgres.shared_database))
    return postgres


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the kinds of database that it names, or its file, or else on each."""
    if "database_url" in metafunc.fixturenames:
        named = metafunc.definition.get_closest_marker("databases")
        metafunc.parametrize("database_url", named.args if named else KINDS, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the newest tables and without rows, of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path)
        return f"sqlite:///{tmp_path}/bot.db"
    server: PostgresServer = request.getfixturevalue("migrated_server")
    return server.emptied_database()


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bot.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@contextmanager
def locked(folder: Path, *statements: str) -> Iterator[None]:
    """Lock the folder's `bot.db` as another process does, by default against writers."""
    with closing(sqlite3.connect(folder / "bot.db", isolation_level=None)) as other:
        for statement in statements or ["BEGIN IMMEDIATE"]:
            other.execute(statement)
        yield
        other.execute("ROLLBACK")
