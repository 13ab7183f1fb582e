"""The schema: what the versions make is what the tables say, from every earlier version on."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from bot.cancellation.lifecycle import State
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.indexes import whole_schema
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from bot.storage.schema import NEWEST, config
from tests.support.domain import JOB_ID, NOON, PROJECT_ID, RINA, Clock, a_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection


VERSIONS = [version.revision for version in ScriptDirectory.from_config(config()).walk_revisions()][
    ::-1
]

#: A request as the first version kept it, with its record as it was chained then.
FIRST_REQUEST = {
    "id": "old",
    "key": "V0OLD",
    "state": "awaiting",
    "project_id": PROJECT_ID,
    "project_name": "shop-prod",
    "cluster_name": "prod-eu",
    "job_id": JOB_ID,
    "team": "T0HOME",
    "requester": "U0RINA",
    "asked_in": "C0OPS",
    "channel": "C0OPS",
    "reason": "wrong cluster",
    "shown": '{"delivery_type":"download","snapshot_id":"5b622e3587d9d6039faf713f",'
    '"snapshot_time":null,"cancellable":true,"target":null,"link_is_live":false,'
    '"expires_at":null}',
    "approvals_needed": 1,
    "created_at": 1795608000000,
    "changed_at": 1795608000000,
    "expires_at": 1795609800000,
    "events": 1,
    "head": "fef857c1c8003c30e06ae920189974cb6ee1027d14dfb6fc65835c6f8c967a8f",
}
FIRST_EVENT = {
    "request": "old",
    "number": 1,
    "at": "2026-11-25T12:00:00.000+00:00",
    "event": "request:created",
    "actor": "U0RINA",
    "team": "T0HOME",
    "detail": "{}",
    "previous": "",
    "hash": FIRST_REQUEST["head"],
}


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def in_schema(database: Database, work: Any) -> Any:
    """Run `work` on a plain connection and commit it."""
    return await database.write(work)


async def insert(database: Database, table: str, values: dict[str, Any]) -> None:
    names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({places})")  # noqa: S608 - ours

    def work(db: Connection) -> None:
        db.execute(statement, values)

    await database.write(work)


async def test_the_versions_make_exactly_the_tables_of_the_code(empty: Database) -> None:
    await empty.migrate()

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, whole_schema(connection.dialect.name)))

    assert await in_schema(empty, compare) == []


#: All that a database knows of its tables: SQLite keeps their statements.
KNOWN = {
    "sqlite": (
        "SELECT type, name, tbl_name, sql FROM sqlite_master",
        "SELECT m.name, c.* FROM sqlite_master m, pragma_table_xinfo(m.name) c",
    ),
    "postgresql": (
        "SELECT * FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint",
        "SELECT * FROM pg_sequences",
    ),
}


def portrait(connection: Connection) -> list[str]:
    """Return all that the database says of its schema, and Alembic of its version."""
    asked = (*KNOWN[connection.dialect.name], "SELECT version_num FROM alembic_version")
    rows = [row for each in asked for row in connection.exec_driver_sql(each)]
    return sorted(" | ".join(in_order(str(field)) for field in row) for row in rows)


def in_order(field: str) -> str:
    """Sort the lines of a SQLite statement: it keeps the order in which constraints were told."""
    return "\n".join(sorted(line.strip(", \t") for line in field.split("\n")))


async def test_an_empty_database_gets_at_once_exactly_what_the_versions_make(
    empty: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a ledger would differ by when it was begun."""

    def drop_all(connection: Connection) -> None:
        whole_schema(connection.dialect.name).drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))

    with monkeypatch.context() as context:
        context.setattr("sys.executable", "/nowhere/python")
        await ensure_current(database_url)
    at_once = await in_schema(empty, portrait)
    await in_schema(empty, drop_all)
    await empty.migrate()

    assert at_once == await in_schema(empty, portrait)


def test_the_newest_version_is_the_last_one() -> None:
    assert sorted(VERSIONS) == VERSIONS
    assert VERSIONS[-1] == NEWEST


async def test_the_partial_indexes_are_partial(empty: Database) -> None:
    await empty.migrate()

    def partial(connection: Connection) -> set[str]:
        tables = ("requests", "posts", "audit_events")
        indexes = [index for name in tables for index in inspect(connection).get_indexes(name)]
        where = f"{connection.dialect.name}_where"
        return {str(each["name"]) for each in indexes if where in each.get("dialect_options", {})}

    assert await in_schema(empty, partial) == {
        "one_open_request_a_job",
        "open_requests",
        "ended_requests",
        "due_posts",
        "due_posts_in_order",
    }


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_ledger_of_an_earlier_version_goes_on_with_its_data(
    empty: Database, version: str
) -> None:
    await in_schema(empty, lambda connection: command.upgrade(config(connection), version))
    await insert(empty, "requests", FIRST_REQUEST)
    await insert(empty, "audit_events", FIRST_EVENT)

    await empty.migrate()

    ledger = RequestStore(empty, Clock(NOON))
    approved = await ledger.approve("old", RINA, lambda _request: None)
    assert approved.state is State.APPROVED
    assert await AuditLog(empty).breaks() == []


async def test_migrating_again_changes_nothing(empty: Database) -> None:
    await empty.migrate()
    request = await RequestStore(empty, Clock()).create(a_request(), RINA)

    await empty.migrate()

    assert await RequestStore(empty, Clock()).request(request.id) == request


async def test_a_schema_that_cannot_be_brought_up_leaves_nothing_half_done(
    empty: Database,
) -> None:
    """Else another replica, or the next start, would begin between two versions."""
    await empty.write(lambda db: db.execute(text("CREATE TABLE sightings (id INTEGER)")).close())
    with pytest.raises(DBAPIError, match="sightings"):
        await empty.migrate()

    assert await empty.read(lambda db: inspect(db).get_table_names()) == ["sightings"]


#: What each replica does first; Alembic knows one database a process.
STARTS = """
import asyncio, sys
from bot.storage.database import Database

async def start():
    database = Database(sys.argv[1])
    await database.migrate()
    await database.close()

asyncio.run(start())
"""


async def test_replicas_that_start_together_take_turns(database_url: str) -> None:
    program = (sys.executable, "-P", "-c", STARTS, database_url)
    start = partial(asyncio.create_subprocess_exec, *program)
    replicas = [await start() for _ in range(4)]
    ended = [await replica.wait() for replica in replicas]
    database = Database(database_url)
    try:
        await database.migrate()
        await RequestStore(database, Clock()).create(a_request(), RINA)

        assert ended == [0, 0, 0, 0]
        assert await AuditLog(database).breaks() == []
    finally:
        await database.close()
