"""A database of each kind, with and without tables."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.database import Database
from bot.storage.migrate import ensure_current


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bot.db"
    url: str = request.getfixturevalue("postgres").new_database()
    return url


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    await ensure_current(empty_url)
    database = Database(empty_url)
    yield database
    await database.close()
