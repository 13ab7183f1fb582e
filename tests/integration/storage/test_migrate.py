"""The first start creates the tables, once, completely, one process at a time."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from bot.storage import migrate as schema
from bot.storage.database import Database, wall_clock
from bot.storage.migrate import NEWEST, SchemaError, alembic_config, ensure_current, is_current
from bot.storage.request_store import RequestStore
from tests.integration.conftest import locked
from tests.support.domain import POLICY, RINA, submission


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Database]:
    database = Database(empty_url)
    yield database
    await database.close()


async def execute(database: Database, statement: str) -> None:
    await database.write(lambda db: db.execute(text(statement)).close())


def test_newest_version_is_the_head_of_the_migrations() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == NEWEST


async def test_first_start_creates_the_tables_and_the_next_keeps_the_data(
    empty: Database, empty_url: str
) -> None:
    await ensure_current(empty_url)
    store = RequestStore(empty, wall_clock, None)
    request = (await store.submit(RINA, POLICY, submission())).request

    await ensure_current(empty_url)

    assert await store.get(request.id) == request
    assert await is_current(empty_url)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_start_does_not_load_alembic_where_nothing_is_to_be_upgraded(empty_url: str) -> None:
    """It would take a quarter of a second and 10 MB."""
    program = (
        "import asyncio, sys; from bot.storage.migrate import ensure_current;"
        f"asyncio.run(ensure_current({empty_url!r})); sys.exit('alembic' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", program)

    assert await process.wait() == 0


async def test_failed_start_changes_nothing(empty: Database, empty_url: str) -> None:
    """Otherwise the next start would begin between two versions."""
    await execute(empty, "CREATE TABLE running_downloads (id INTEGER)")  # an index has this name
    with pytest.raises(DBAPIError, match="running_downloads"):
        await ensure_current(empty_url)

    names = await empty.read(lambda db: inspect(db).get_table_names())
    assert names == ["running_downloads"]


async def test_newer_schema_is_refused(empty: Database, empty_url: str) -> None:
    await ensure_current(empty_url)
    await execute(empty, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaError, match=r"version 9999.*go back to the backup"):
        await ensure_current(empty_url)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("requests", "CREATE TABLE requests (id INTEGER)"),
        ("alembic_version", "CREATE TABLE alembic_version AS SELECT 'ae1027d14d' AS version_num"),
        ("alembic_version", "CREATE TABLE alembic_version AS SELECT 7 AS version_num"),
    ],
)
async def test_tables_of_another_program_are_refused_and_kept(
    empty: Database, empty_url: str, name: str, statement: str
) -> None:
    await execute(empty, statement)
    with pytest.raises(SchemaError, match=rf"tables of another program \({name}\)\. Name a"):
        await ensure_current(empty_url)

    assert await empty.read(lambda db: inspect(db).get_table_names()) == [name]


async def test_unrelated_tables_in_the_same_database_are_accepted(
    empty: Database, empty_url: str
) -> None:
    await execute(empty, "CREATE TABLE users (id INTEGER)")
    await ensure_current(empty_url)

    assert await is_current(empty_url)


async def test_concurrent_starts_of_several_processes_all_succeed(empty_url: str) -> None:
    program = (
        "import asyncio; from bot.storage.migrate import ensure_current;"
        f"asyncio.run(ensure_current({empty_url!r}))"
    )
    starts = [
        await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", program) for _ in range(3)
    ]

    assert [await start.wait() for start in starts] == [0, 0, 0]
    assert await is_current(empty_url)


async def test_start_waits_for_another_migration_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", 0.2)
    url = f"sqlite:///{tmp_path}/bot.db"
    with locked(tmp_path, "PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE"):
        start = asyncio.create_task(ensure_current(url))
        await asyncio.sleep(0.7)
    await start

    assert await is_current(url)
