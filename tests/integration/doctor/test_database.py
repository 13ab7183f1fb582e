"""The database check on real databases, which it leaves unchanged."""

import asyncio
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.doctor.database import EMPTY, check_database
from bot.doctor.results import Level
from bot.storage.database import Database
from bot.storage.migrate import ensure_current
from tests.integration.conftest import locked
from tests.support.postgres import PostgresServer


async def test_empty_database_is_ok_and_stays_empty(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        with closing(sqlite3.connect(empty_url.removeprefix("sqlite:///"))) as made:
            made.execute("VACUUM")  # writes the file
    found = await check_database(empty_url)
    again = await check_database(empty_url)

    assert found == again
    assert (found.level, found.sentence) == (Level.OK, EMPTY)


@pytest.mark.parametrize(
    ("options", "level", "message"),
    [
        ("sslmode=disable", Level.OK, EMPTY),
        ("options=-c%20search_path%3Dpublic", Level.OK, EMPTY),
        ("sslmode=prefer&application_name=x&connect_timeout=3", Level.OK, EMPTY),
        ("sslmode=require", Level.PROBLEM, "server does not support SSL"),
        ("sslmode=loud", Level.PROBLEM, 'invalid sslmode value: "loud"'),
        ("nonsense=1", Level.PROBLEM, 'invalid connection option "nonsense"'),
    ],
)
async def test_options_in_a_postgresql_url_are_applied(
    on_postgres: str, options: str, level: Level, message: str
) -> None:
    """Providers hand out addresses with `?sslmode=require` at their end."""
    found = await check_database(f"{on_postgres}?{options}")

    assert found.level is level
    assert message in found.sentence


@pytest.mark.parametrize("options", ["sslmode=disable"])
async def test_bot_opens_a_url_with_options(on_postgres: str, options: str) -> None:
    url = f"{on_postgres}?{options}"
    await ensure_current(url)
    found = await check_database(url)

    assert "has the newest tables" in found.sentence


async def execute(url: str, statement: str) -> None:
    """Run one statement as the bot's own account, and commit it."""
    database = Database(url, timeout=20.0)
    await database.write(lambda connection: connection.execute(text(statement)))
    await database.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_check_does_not_change_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    await ensure_current(url)
    before = contents(tmp_path)
    found = await check_database(url)

    assert (found.level, "newest tables" in found.sentence) == (Level.OK, True)
    assert contents(tmp_path) == before
    assert set(before) == {"bot.db"}


@pytest.mark.parametrize(
    ("version", "level", "hint"),
    [("0000", Level.WARNING, "`serve` updates the tables"), ("9999", Level.PROBLEM, "")],
)
async def test_older_schema_version_is_a_warning_and_a_newer_one_a_problem(
    empty_url: str, version: str, level: Level, hint: str
) -> None:
    await ensure_current(empty_url)
    await execute(empty_url, f"UPDATE alembic_version SET version_num = '{version}'")  # noqa: S608 - a constant
    found = await check_database(empty_url)

    assert found.level is level
    assert f"version {version}" in found.sentence
    assert hint in found.fix


@pytest.mark.parametrize("parent", ["absent", "file"])
async def test_file_that_has_no_folder_is_a_problem(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    found = await check_database(f"sqlite:///{tmp_path / parent}/bot.db")

    assert (found.level, "does not exist" in found.sentence) == (Level.PROBLEM, True)


async def test_path_that_the_system_refuses_is_a_problem(tmp_path: Path) -> None:
    found = await check_database(f"sqlite:///{tmp_path}/{'x' * 300}.db")

    assert (found.level, "File name too long" in found.sentence) == (Level.PROBLEM, True)


@pytest.fixture
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.doctor.database.TIMEOUT", 1)


@pytest.mark.usefixtures("_short_timeout")
async def test_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    await ensure_current(url)
    monkeypatch.setattr("bot.storage.sqlite.MIN_FREE_BYTES", 2**62)
    found = await check_database(url)

    assert (found.level, "the disk is full" in found.sentence) == (Level.PROBLEM, True)


@pytest.mark.usefixtures("_short_timeout")
async def test_locked_database_is_a_problem(tmp_path: Path) -> None:
    await ensure_current(f"sqlite:///{tmp_path}/bot.db")
    with locked(tmp_path):
        found = await check_database(f"sqlite:///{tmp_path}/bot.db")

    assert found.level is Level.PROBLEM
    assert "locked" in found.sentence


@pytest.mark.parametrize("missing", ["INSERT ON requests", "UPDATE ON alembic_version"])
async def test_account_without_write_permission_is_a_problem(
    on_postgres: str, missing: str
) -> None:
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    await ensure_current(on_postgres)
    await execute(on_postgres, f"CREATE ROLE {reader} LOGIN")
    await execute(on_postgres, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {reader}")
    as_reader = on_postgres.replace("//bot@", f"//{reader}@")
    before = await check_database(as_reader)
    await execute(on_postgres, f"REVOKE {missing} FROM {reader}")
    found = await check_database(as_reader)

    assert before.level is Level.OK
    assert found.level is Level.PROBLEM
    assert "permission denied" in found.sentence


async def test_account_without_create_permission_is_a_problem_for_an_empty_database(
    on_postgres: str,
) -> None:
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    await execute(on_postgres, f"CREATE ROLE {reader} LOGIN")
    found = await check_database(on_postgres.replace("//bot@", f"//{reader}@"))

    assert found.level is Level.PROBLEM
    assert "permission denied" in found.sentence


@pytest.mark.usefixtures("_short_timeout")
async def test_unresponsive_server_is_a_problem_within_the_timeout(
    postgres: PostgresServer, on_postgres: str
) -> None:
    postgres.pause()
    try:
        async with asyncio.timeout(20):
            found = await check_database(on_postgres)
    finally:
        postgres.resume()

    assert found.level is Level.PROBLEM
    assert found.fix
