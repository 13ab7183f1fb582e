"""The ledger's database: does it open, may it be written, does its schema fit; nothing stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Integer,
    MetaData,
    NullPool,
    Table,
    create_engine,
    literal_column,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from bot.doctor.results import CheckResult, Subject
from bot.storage.database import cause_of
from bot.storage.migrate import NEWEST, SchemaError, has_newest_version, version_of
from bot.storage.tables import metadata

#: Seconds to wait for the database, or for a lock in it.
TIMEOUT = 5

SUBJECT = Subject("database", "DATABASE_URL")

#: A table that never stays.
PROBE = Table("cancel_restore_doctor", MetaData(), Column("probe", Integer))

EMPTY = "it opens, may be written, and is empty: `serve` makes the tables when it starts"


async def check_database(database_url: str) -> CheckResult:
    """Look at the database of `DATABASE_URL`."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and (
        found := _check_missing_file(Path(url.database or ""))
    ):
        return found
    check = _check_file if url.get_backend_name() == "sqlite" else _check_server
    try:
        async with asyncio.timeout(3 * TIMEOUT):
            return await check(url)
    except (SQLAlchemyError, OSError) as error:
        return _failure(error)


def _check_missing_file(path: Path) -> CheckResult | None:
    """Judge a SQLite file that is not there yet; opening it would make it."""
    if path.exists():
        return None
    folder = path.absolute().parent
    if not folder.is_dir():
        return SUBJECT.problem(f"the folder {folder} does not exist", "Make it, or name another.")
    try:
        with TemporaryFile(dir=folder):  # it has no name, so nothing is seen of it
            pass
    except OSError as error:
        return SUBJECT.problem(
            f"no file can be made in the folder {folder} ({(error.strerror or '').lower()})",
            "Give the folder to the user that the bot runs as, or name another.",
        )
    return SUBJECT.ok(f"{path} does not exist yet: `serve` makes it when it starts")


async def _check_file(url: URL) -> CheckResult:
    """Open as the ledger does, but so that nothing is made or set."""

    def check() -> CheckResult:
        file = f"file:{quote(str(Path(url.database or '').absolute()))}?mode=rw&uri=true"
        engine = create_engine(
            f"sqlite:///{file}", connect_args={"timeout": TIMEOUT}, poolclass=NullPool
        )
        with engine.connect() as connection:
            return _check_schema(connection)

    return await asyncio.to_thread(check)


async def _check_server(url: URL) -> CheckResult:
    """Connect as the ledger does; what was done is undone at the end."""
    # Loaded for a server alone, as in the ledger: every start looks at ids with what is here.
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - see above

    from bot.storage.postgres import to_asyncpg  # noqa: PLC0415 - see above

    settings = {"application_name": "cancel-restore", "lock_timeout": str(TIMEOUT * 1000)}
    address, arguments = to_asyncpg(url)
    engine = create_async_engine(
        address,
        poolclass=NullPool,
        connect_args={
            **arguments,
            "timeout": TIMEOUT,
            "command_timeout": TIMEOUT,
            "server_settings": settings,
        },
    )
    async with engine.connect() as connection:
        return await connection.run_sync(_check_schema)


def _check_schema(connection: Connection) -> CheckResult:
    """Read the schema's version, then try to write; the end of the connection undoes it."""
    if connection.dialect.name == "sqlite":
        # Python's driver begins no transaction before a CREATE TABLE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        current = has_newest_version(connection)
    except SchemaError as error:
        return SUBJECT.problem(error.why, error.do)
    if not current:
        _try_create_table(connection)
        version = version_of(connection)
        if version is None:
            return SUBJECT.ok(EMPTY)
        return SUBJECT.warning(
            f"its tables are of version {version}; this program has {NEWEST}",
            "Back it up; `serve` brings them up when it starts.",
        )
    _try_write(connection)
    return SUBJECT.ok(f"it opens, may be written, and has the newest tables ({NEWEST})")


def _try_create_table(connection: Connection) -> None:
    """Try what bringing the schema up needs."""
    connection.execute(CreateTable(PROBE))
    connection.execute(PROBE.insert().values(probe=1))


def _try_write(connection: Connection) -> None:
    """Insert no row into every table: the database checks the right to, all the same."""
    for table in metadata.sorted_tables:
        nothing = select(table).where(literal_column("1") == literal_column("0"))
        connection.execute(table.insert().from_select(table.columns.keys(), nothing))
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))


def _failure(error: Exception) -> CheckResult:
    return SUBJECT.problem(
        f"it cannot be used ({cause_of(error)[:200]})",
        "Check the address, that it is running, and that this account may write and owns the "
        "tables.",
    )
