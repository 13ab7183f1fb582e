"""Real databases for bots that are killed: a SQLite file and a PostgreSQL server."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer

NewDatabase = Callable[[], Awaitable[str]]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_database(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Make empty databases of one kind, for environments side by side, and give their URLs."""
    if kind == "sqlite":
        numbers = count(1)

        async def new_file() -> str:
            return f"sqlite:///{tmp_path}/bot-{next(numbers)}.db"

        return new_file
    server: PostgresServer = request.getfixturevalue("postgres")
    return partial(asyncio.to_thread, server.new_database)


@pytest.fixture
def on_sqlite(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/bot.db"
