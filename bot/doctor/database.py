"""Checks the database: it opens, is writable, and its schema fits; nothing is changed."""

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
    make_url,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from bot.doctor.results import CheckResult, Subject
from bot.storage.database import cause_of, open_executor
from bot.storage.migrate import NEWEST, SchemaError, known_version
from bot.storage.tables import metadata

TIMEOUT = 5  #: seconds to wait for the database, or for a lock in it
SUBJECT = Subject("database", "DATABASE_URL", "Database")
#: A table whose creation is rolled back.
PROBE = Table("cancel_restore_doctor", MetaData(), Column("probe", Integer))
EMPTY = "it opens, is writable, and is empty: `serve` creates the tables when it starts"


async def check_database(database_url: str) -> CheckResult:
    url = make_url(database_url)
    is_file = url.get_backend_name() == "sqlite"
    if is_file and (found := _check_missing_file(Path(url.database or ""))):
        return found
    try:
        async with asyncio.timeout(3 * TIMEOUT):
            check = asyncio.to_thread(_check_file, url) if is_file else _check_server(url)
            return await check
    except (SQLAlchemyError, OSError) as error:
        return SUBJECT.problem(
            f"it cannot be used ({cause_of(error)[:200]})",
            "Check the address, that the server runs, and that this account may write and owns "
            "the tables.",
        )


def _check_missing_file(path: Path) -> CheckResult | None:
    """Check that a missing SQLite file can be created; opening it would create it."""
    if path.exists():
        return None
    folder = path.absolute().parent
    if not folder.is_dir():
        return SUBJECT.problem(f"the folder {folder} does not exist", "Create it, or set another.")
    try:
        with TemporaryFile(dir=folder):  # without a name
            pass
    except OSError as error:
        return SUBJECT.problem(
            f"no file can be created in the folder {folder} ({(error.strerror or '').lower()})",
            "Make the folder writable for the bot's user, or set another.",
        )
    return SUBJECT.ok(f"{path} does not exist yet: `serve` creates it when it starts")


def _check_file(url: URL) -> CheckResult:
    """Open the file without creating it or setting its journal mode."""
    file = f"file:{quote(str(Path(url.database or '').absolute()))}?mode=rw&uri=true"
    address = f"sqlite:///{file}"
    engine = create_engine(address, connect_args={"timeout": TIMEOUT}, poolclass=NullPool)
    with engine.connect() as connection:
        return _check_schema(connection)


async def _check_server(url: URL) -> CheckResult:
    """Connect with the options of the bot; the end of the connection rolls back."""
    server = open_executor(url, TIMEOUT, TIMEOUT)
    try:
        return await server.run(_check_schema, {})
    finally:
        await server.close()


def _check_schema(connection: Connection) -> CheckResult:
    """Read the schema's version, then try to write; the end of the connection rolls back."""
    if connection.dialect.name == "sqlite":
        # Python's driver begins no transaction before a CREATE TABLE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        version = known_version(connection)
    except SchemaError as error:
        return SUBJECT.problem(error.why, error.do)
    if version != NEWEST:
        PROBE.create(connection)  # as an update of the schema does
        connection.execute(PROBE.insert().values(probe=1))
        if version is None:
            return SUBJECT.ok(EMPTY)
        return SUBJECT.warning(
            f"its tables have version {version}; this program has {NEWEST}",
            "Back up the database; `serve` updates the tables when it starts.",
        )
    # Insert zero rows into every table, for which the database checks the permission too.
    for table in metadata.sorted_tables:
        no_rows = select(table).where(literal_column("1") == literal_column("0"))
        connection.execute(table.insert().from_select(table.columns.keys(), no_rows))
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
    return SUBJECT.ok(f"it opens, is writable, and has the newest tables ({NEWEST})")
