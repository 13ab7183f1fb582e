"""What doctor says of real databases, and that it leaves nothing in them."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from bot.doctor import Level
from bot.doctor.database import EMPTY, check_database
from bot.storage.database import Database
from bot.storage.migrate import ensure_current

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer


async def test_an_empty_database_is_well_and_stays_empty(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as made:
            made.execute("VACUUM")  # writes the file
    found = await check_database(database_url)
    again = await check_database(database_url)

    assert found == again
    assert (found.level, found.message) == (Level.OK, EMPTY)


@pytest.mark.parametrize(
    ("options", "level", "says"),
    [
        ("sslmode=disable", Level.OK, EMPTY),
        ("ssl=disable", Level.OK, EMPTY),
        ("sslmode=prefer&application_name=x&connect_timeout=3", Level.OK, EMPTY),
        ("prepared_statement_cache_size=0", Level.OK, EMPTY),
        ("sslmode=require", Level.PROBLEM, "rejected SSL upgrade"),
        ("sslmode=loud", Level.PROBLEM, "`sslmode` parameter must be one of"),
        ("sslmode=verify-full&sslrootcert=/no/such/file", Level.PROBLEM, "No such file"),
        ("nonsense=1", Level.PROBLEM, 'unrecognized configuration parameter "nonsense"'),
    ],
)
async def test_what_postgresqls_own_addresses_may_say_is_understood(
    postgres: PostgresServer, options: str, level: Level, says: str
) -> None:
    """Providers hand out addresses with `?sslmode=require` at their end."""
    found = await check_database(f"{await asyncio.to_thread(postgres.new_database)}?{options}")

    assert found.level is level
    assert says in found.message


@pytest.mark.parametrize("options", ["sslmode=disable", "prepared_statement_cache_size=0"])
async def test_the_ledger_opens_with_such_an_address_too(
    postgres: PostgresServer, options: str
) -> None:
    url = f"{await asyncio.to_thread(postgres.new_database)}?{options}"
    await ensure_current(url)
    found = await check_database(url)

    assert "has the newest tables" in found.message


async def execute(database_url: str, statement: str) -> None:
    """Run one statement as the bot's own account, and commit it."""
    database = Database(database_url)
    await database.write(lambda connection: connection.execute(text(statement)))
    await database.close()


async def test_a_database_that_the_bot_has_used_is_well(database_url: str) -> None:
    await ensure_current(database_url)
    found = await check_database(database_url)

    assert found.level is Level.OK
    assert "has the newest tables" in found.message


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_not_a_byte_of_the_ledger_is_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    await ensure_current(url)
    before = contents(tmp_path)
    await check_database(url)

    assert contents(tmp_path) == before
    assert set(before) == {"ledger.db"}


async def test_tables_of_an_older_program_are_warned_of(database_url: str) -> None:
    await ensure_current(database_url)
    await execute(database_url, "UPDATE alembic_version SET version_num = '0000'")
    found = await check_database(database_url)

    assert found.level is Level.WARNING
    assert "of version 0000" in found.message
    assert "`serve` brings them up" in found.hint


async def test_tables_of_a_newer_program_are_a_problem(database_url: str) -> None:
    await ensure_current(database_url)
    await execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    found = await check_database(database_url)

    assert found.level is Level.PROBLEM
    assert "version 9999" in found.message


async def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("nothing of the kind" * 100)
    found = await check_database(f"sqlite:///{tmp_path}/ledger.db")

    assert found.level is Level.PROBLEM
    assert "not a database" in found.message


async def test_a_ledger_that_another_program_holds_is_a_problem(tmp_path: Path) -> None:
    await ensure_current(f"sqlite:///{tmp_path}/ledger.db")
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = await check_database(f"sqlite:///{tmp_path}/ledger.db")
        other.execute("ROLLBACK")

    assert found.level is Level.PROBLEM
    assert "locked" in found.message


@pytest.mark.parametrize("missing", ["INSERT ON requests", "UPDATE ON alembic_version"])
async def test_an_account_that_may_not_write_is_a_problem(
    postgres: PostgresServer, missing: str
) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    await ensure_current(url)
    await execute(url, f"CREATE ROLE {reader} LOGIN")
    await execute(url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {reader}")
    as_reader = url.replace("//bot@", f"//{reader}@")
    before = await check_database(as_reader)
    await execute(url, f"REVOKE {missing} FROM {reader}")
    found = await check_database(as_reader)

    assert before.level is Level.OK
    assert found.level is Level.PROBLEM
    assert "permission denied" in found.message


async def test_an_account_that_may_make_no_tables_is_a_problem_before_they_are_made(
    postgres: PostgresServer,
) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    await execute(url, f"CREATE ROLE {reader} LOGIN")
    found = await check_database(url.replace("//bot@", f"//{reader}@"))

    assert found.level is Level.PROBLEM
    assert "permission denied" in found.message


async def test_a_server_that_answers_nothing_is_not_waited_for(postgres: PostgresServer) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    postgres.pause()
    try:
        async with asyncio.timeout(20):
            found = await check_database(url)
    finally:
        postgres.resume()

    assert found.level is Level.PROBLEM


async def test_a_server_that_does_not_answer_is_told_in_time(postgres: PostgresServer) -> None:
    url = await asyncio.to_thread(postgres.new_database)
    postgres.pause()
    try:
        async with asyncio.timeout(20):
            found = await check_database(url)
    finally:
        postgres.resume()

    assert found.level is Level.PROBLEM
    assert found.hint
