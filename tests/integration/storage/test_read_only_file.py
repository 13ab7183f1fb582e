"""A SQLite file that is only read: a copy stays as it is, and a running bot's commits are seen."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bot.cancellation.errors import NotRecorded
from bot.storage.database import Database
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.support.clock import FakeClock
from tests.support.domain import RINA, a_request
from tests.support.timings import DATABASE_TIMEOUT


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A file of its own folder, with the schema and nothing in it."""
    path = tmp_path / "folder" / "database #1.db"
    path.parent.mkdir()
    await ensure_current(f"sqlite:///{path}")
    return path


def only_read(path: Path) -> Database:
    return Database(f"sqlite:///{path}", timeout=DATABASE_TIMEOUT, read_only=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_log(path: Path) -> list[bytes]:
    return [Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")]


def requests(db: Connection) -> int:
    return int(db.execute(text("SELECT count(*) FROM requests")).scalar_one())


async def test_copy_is_read_in_either_journal_mode_and_no_file_appears_beside_it(
    file: Path,
) -> None:
    for mode in ("wal", "delete"):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")
        before = contents(file.parent)
        database = only_read(file)
        count = await database.read_snapshot(requests)
        await database.close()

        assert count == 0
        assert contents(file.parent) == before


async def test_copy_with_its_log_is_read_and_keeps_both(file: Path, tmp_path: Path) -> None:
    bot = Database(f"sqlite:///{file}", timeout=DATABASE_TIMEOUT)
    await RequestStore(bot, FakeClock()).create(a_request(), RINA)
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
    await bot.close()
    before = with_log(copy)
    reader = only_read(copy)
    count = await reader.read_snapshot(requests)
    await reader.close()

    assert count == 1
    assert with_log(copy) == before


async def test_writing_is_refused(file: Path) -> None:
    reader = only_read(file)
    before = contents(file.parent)
    with pytest.raises(NotRecorded):
        await RequestStore(reader, FakeClock()).create(a_request(), RINA)
    await reader.close()

    assert contents(file.parent) == before
