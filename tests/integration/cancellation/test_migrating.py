"""A start brings the schema up where it is not, in a process that it can end."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text

from bot.startup_checks import StartError, migrate
from bot.storage.database import Database
from bot.storage.migrate import AT_ONCE, NotMigrated, ensure_current, is_current
from bot.storage.request_store import RequestStore
from bot.storage.schema import NEWEST, NewerSchema, config
from tests.support.domain import RINA, Clock, a_request

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_start_makes_the_tables_and_the_next_leaves_them(database_url: str) -> None:
    await ensure_current(database_url)
    database = Database(database_url)
    try:
        request = await RequestStore(database, Clock()).create(a_request(), RINA)
        await ensure_current(database_url)

        assert await RequestStore(database, Clock()).request(request.id) == request
    finally:
        await database.close()


async def test_the_newest_version_needs_no_other_process(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_current(database_url)
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    await ensure_current(database_url)


async def set_version(database_url: str, version: str) -> None:
    database = Database(database_url)
    statement = text("UPDATE alembic_version SET version_num = :version")
    try:
        await database.migrate()
        await database.write(lambda db: db.execute(statement, {"version": version}).close())
    finally:
        await database.close()


async def test_tables_of_a_newer_program_are_left_alone(database_url: str) -> None:
    """Going back to an earlier program must not write what the newer one does not expect."""
    await set_version(database_url, "9999")

    with pytest.raises(NewerSchema, match=r"version 9999.*go back to the backup"):
        await ensure_current(database_url)
    with pytest.raises(StartError, match=r"DATABASE_URL cannot be used\. A newer program"):
        await migrate(database_url)


@pytest.mark.parametrize(
    "tables",
    [
        {"requests": "CREATE TABLE requests (id INTEGER)"},
        {"alembic_version": "CREATE TABLE alembic_version AS SELECT 'ae1027d14d' AS version_num"},
        {"alembic_version": "CREATE TABLE alembic_version AS SELECT 7 AS version_num"},
    ],
)
async def test_tables_of_another_program_are_left_alone(
    database_url: str, tables: dict[str, str]
) -> None:
    ((name, statement),) = tables.items()
    database = Database(database_url)
    try:
        await database.write(lambda db: db.execute(text(statement)).close())
        with pytest.raises(StartError, match=rf"tables of another program \({name}\)\. Name a"):
            await migrate(database_url)

        assert await database.read(lambda db: inspect(db).get_table_names()) == [name]
    finally:
        await database.close()


async def test_tables_of_another_program_beside_ours_are_no_trouble(database_url: str) -> None:
    database = Database(database_url)
    try:
        await database.write(lambda db: db.execute(text("CREATE TABLE users (id INTEGER)")).close())
    finally:
        await database.close()
    await ensure_current(database_url)

    assert await is_current(database_url)


async def test_what_the_other_process_could_not_do_is_told_in_a_sentence(old_url: str) -> None:
    database = Database(old_url)
    try:
        statement = text("CREATE TABLE sightings (id INTEGER)")
        await database.write(lambda db: db.execute(statement).close())
    finally:
        await database.close()

    with pytest.raises(NotMigrated, match=r"sightings.* already exists"):
        await ensure_current(old_url)
    with pytest.raises(StartError, match=r"cannot be opened \(.*sightings.* already exists"):
        await migrate(old_url)


async def test_a_start_that_waits_for_anothers_migration_can_be_ended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
        file.execute("PRAGMA journal_mode = WAL")
    engine = create_engine(url)
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        start = asyncio.create_task(ensure_current(url))
        done, _ = await asyncio.wait({start}, timeout=AT_ONCE + 1.0)
        assert not done
        start.cancel()
        done, _ = await asyncio.wait({start}, timeout=2.0)

        assert start in done
    engine.dispose()
    await ensure_current(url)  # nothing of the first one is in the way


async def test_a_start_that_waits_for_a_file_that_another_program_holds_can_be_ended(
    tmp_path: Path,
) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        start = asyncio.create_task(ensure_current(f"sqlite:///{tmp_path}/ledger.db"))
        done, _ = await asyncio.wait({start}, timeout=0.5)
        assert not done
        start.cancel()
        done, _ = await asyncio.wait({start}, timeout=5.0)

        assert start in done
    await ensure_current(f"sqlite:///{tmp_path}/ledger.db")


async def test_replicas_that_meet_a_new_file_at_once_all_start(tmp_path: Path) -> None:
    for number in range(20):
        url = f"sqlite:///{tmp_path}/ledger-{number}.db"

        current = await asyncio.gather(*(is_current(url) for _ in range(6)))

        assert current == [False] * 6


@pytest.fixture
async def old_url(database_url: str) -> str:
    """The URL of a database with the tables of the first version."""
    database = Database(database_url)
    try:
        await database.write(lambda db: command.upgrade(config(db), "0001"))
    finally:
        await database.close()
    return database_url


async def test_earlier_tables_are_brought_up_by_another_process(
    old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr("sys.executable", "/nowhere/python")
        with pytest.raises(OSError, match="/nowhere/python"):
            await ensure_current(old_url)
    assert not await is_current(old_url)

    await ensure_current(old_url)

    assert await is_current(old_url)


async def test_an_empty_database_needs_no_other_process(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a third of the bot's first start."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    await ensure_current(database_url)

    assert await is_current(database_url)


async def test_replicas_that_meet_an_empty_database_at_once_all_start(database_url: str) -> None:
    await asyncio.gather(*(ensure_current(database_url) for _ in range(6)))

    assert await is_current(database_url)


async def test_a_process_that_cannot_be_started_is_a_start_error(
    old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    with pytest.raises(StartError, match="No such file or directory"):
        await migrate(old_url)


async def test_a_process_that_ends_without_a_word_is_told_by_its_exit_code(
    old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does one that the system ends for want of memory."""
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises(StartError, match=r"\(what brings its tables up ended with 1\)"):
        await migrate(old_url)


def test_versions_sort_as_they_follow() -> None:
    assert NEWEST.isdecimal()
    assert len(NEWEST) == len("0001")
