"""Values that another program stored: reading goes on, and `verify` names the row."""

import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Table, Text, literal, update
from structlog.testing import capture_logs

from bot.cancellation.lifecycle import State
from bot.cancellation.policy import Mode
from bot.cli.audit import write
from bot.cli.output import OutputFormat
from bot.storage.audit_log import AuditLog, read_summary
from bot.storage.database import Database
from bot.storage.tables import Instant, audit_events, jobs, metadata, posts, requests
from tests.integration.storage.quarantine_environment import ENFORCED, QuarantineEnv
from tests.support.domain import ADA, RINA, a_waiting_request, allow, keep_all
from tests.support.timings import DATABASE_TIMEOUT

#: What is stored instead, as SQL; the numbers only where numbers are.
VALUES = {
    "text": "'\u202e'",
    "bytes of no text": "CAST(x'ff00' AS TEXT)",
    "blob": "x'00ff'",
    "null": "NULL",
    "huge": "9223372036854775807",
    "negative": "-1",
}
NUMBERS = ("huge", "negative")


def fill(db: Connection) -> None:
    """Insert a row into each table that has none."""
    for table in metadata.sorted_tables:
        if not db.execute(table.select()).first():
            row = {each.name: "x" if each.type.python_type is str else 1 for each in table.c}
            columns, names = (", ".join(f"{mark}{each}" for each in row) for mark in ("", ":"))
            db.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({names})", row)  # noqa: S608 - constants


@pytest.fixture
async def file(database_url: str, tmp_path: Path) -> Path:
    """A database with a row in each table."""
    database = Database(database_url, timeout=DATABASE_TIMEOUT)
    env = QuarantineEnv(database, replace(ENFORCED, quarantine=Mode.OBSERVE))
    env.begin(1)
    await env.start()
    env.clock.advance(1)
    first = env.begin(2)
    env.show_starter(first, "dana@shop.example")
    await env.read_jobs()
    await env.second()
    kept = await env.request(first)
    await env.requests.decide(kept.id, State.KEPT, ADA, allow, reason="audit")
    await env.requests.create(a_waiting_request(approvals=2, id="waits"), RINA)
    await env.requests.approve("waits", ADA, allow, keep_all)
    await database.write(fill)
    await database.close()
    return tmp_path / "bot.db"


def damaged_columns(file: Path, copy: Path, table: Table, value: str) -> Iterator[str]:
    """Yield each column that takes the value, while the copy has it in one row."""
    for column in table.c:
        if value in NUMBERS and column.type.python_type is str:
            continue
        shutil.copyfile(file, copy)
        with closing(sqlite3.connect(copy)) as connection, suppress(sqlite3.IntegrityError):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                f'UPDATE {table.name} SET "{column.name}" = {VALUES[value]}'  # noqa: S608 - constants
                f" WHERE rowid = (SELECT max(rowid) FROM {table.name})"
            )
            connection.commit()
            yield column.name


async def verified(database: Database) -> list[str]:
    """Return what `verify` names; read the summary, too."""
    await database.read_snapshot(lambda db: read_summary(db, None))
    return [str(each) for each in await AuditLog(database).verify()]


async def printed(database: Database) -> list[str]:
    """Return what each format prints."""
    out = [io.StringIO() for _ in OutputFormat]
    for format_, text in zip(OutputFormat, out, strict=True):
        await write(AuditLog(database).events, format_, text)
    return [each.getvalue() for each in out]


def must_be_named(table: Table, column: str, value: str) -> bool:
    kinds: dict[str, tuple[type[Any], ...]] = {"text": (str,), "bytes of no text": (str,)}
    is_time = isinstance(table.c[column].type, Instant)
    is_text = table.c[column].type.python_type is str
    if value == "blob" or (value in kinds and not is_text):
        return True
    return is_time and value in {"huge", "negative"}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("value", VALUES)
async def test_damaged_value_in_any_column_is_named_and_the_rest_is_printed(
    file: Path, value: str
) -> None:
    copy = Path(shutil.copy(file, file.with_name("copy.db")))
    database = Database(f"sqlite:///{copy}", read_only=True)
    assert await verified(database) == []
    intact = await printed(database)
    for table in metadata.sorted_tables:
        for column in damaged_columns(file, copy, table, value):
            where = f"{table.name}.{column}"
            assert await verified(database) or not must_be_named(table, column, value), where
            if table is not audit_events:  # the only one that is printed
                continue
            texts = await printed(database)
            pairs = zip(texts, intact, strict=True)
            assert all(a.count("\n") == b.count("\n") for a, b in pairs), where
            odd = {c for text in texts for c in text if not c.isprintable() and c not in "\r\n"}
            assert not odd, where
    await database.close()


#: The columns whose texts have a form of their own.
UNREADABLE = [
    *(jobs.c[name] for name in ("started_by", "shown", "state", "phase", "quarantine", "answer")),
    *(requests.c.shown, requests.c.outcome, posts.c.detail, posts.c.event, posts.c.kind),
]
TIMES = [
    *(jobs.c[name] for name in ("first_seen_at", "expected_at", "until")),
    *(requests.c[name] for name in ("changed_at", "grace_ends_at")),
    *(requests.c.job_id, posts.c.at),
]
#: In what the download of a damaged row ends, if the bot does not cancel it: nothing is sent where
#: it is not known what was shown, and before people see a card.
INSTEAD: dict[str, State | None] = {
    "requests.shown": State.CHANGED,
    "posts.kind": State.QUARANTINED,
    "requests.job_id": None,
}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("column", [*UNREADABLE, *TIMES])
async def test_value_that_cannot_be_read_harms_its_row_alone_and_is_named_once(
    column: Column[Any], database: Database
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_grace=timedelta(seconds=3)))
    await env.start()
    damaged, other = env.begin(1), env.begin(2)
    await env.read_jobs()
    first = (await env.request(damaged)).id
    keys = {"requests": requests.c.id == first, "posts": posts.c.request == first}
    of_row = keys.get(column.table.name, jobs.c.job_id == damaged)
    change = update(column.table).where(of_row).values({column.name: literal("{", Text)})
    await database.write(lambda db: db.execute(change))

    with capture_logs() as lines:
        await env.second()
        for _ in range(5):
            await env.read_jobs()
            await env.second()

    states = [await env.state(each) for each in (damaged, other)]
    assert states == [INSTEAD.get(str(column), State.CANCELLED), State.CANCELLED]
    (place,) = [line["place"] for line in lines if line["log_level"] == "error"]
    assert str(column) in place
