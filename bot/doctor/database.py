"""Checks that the database opens, has this program's tables or none, and can be written."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, NullPool, create_engine, false, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from bot.doctor.results import Result
from bot.storage.database import cause_of, open_executor
from bot.storage.migrate import NEWEST, SchemaError, known_version
from bot.storage.sqlite import SqliteExecutor
from bot.storage.tables import metadata

TIMEOUT = 5  #: seconds to wait for the database, or for a lock in it
DATABASE = Result("database", "DATABASE_URL")
#: Its effect is rolled back.
PROBE = text("CREATE TABLE cancel_restore_doctor (probe INTEGER)")
EMPTY = "It opens, can be written, and is empty: `serve` creates the tables."


async def check_database(database_url: str) -> Result:
    url = make_url(database_url)
    is_file = url.get_backend_name() == "sqlite"
    try:
        if is_file and (result := _check_missing_file(Path(url.database or ""))):
            return result
        return await (asyncio.to_thread(_check_file, url) if is_file else _check_server(url))
    except (SQLAlchemyError, OSError) as error:
        return DATABASE.problem(
            f"It cannot be used ({cause_of(error)[:200]}).",
            "Check the address, that the server runs, that the disk has room, and that this "
            "account may write and owns the tables.",
        )


def _check_missing_file(path: Path) -> Result | None:
    """Check that a missing SQLite file can be created; opening it would create it."""
    if path.exists():
        return None
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return DATABASE.problem(
            f"The folder {folder} does not exist, or the bot's user may not write in it.",
            "Create it or make it writable, or set another.",
        )
    return DATABASE.ok(f"{path} does not exist yet: `serve` or `cancel` creates it.")


def _check_file(url: URL) -> Result:
    """Open the file without creating it or setting its journal mode."""
    path = Path(url.database or "").absolute()
    if why := SqliteExecutor(url, TIMEOUT).problem():
        fix = "Let the bot's user write the file and its folder, and make room on the disk."
        return DATABASE.problem(f"{path} cannot be used: {why}.", fix)
    address = f"sqlite:///file:{quote(str(path))}?mode=rw&uri=true"
    engine = create_engine(address, connect_args={"timeout": TIMEOUT}, poolclass=NullPool)
    with engine.connect() as connection:
        # Python's driver begins no transaction before a CREATE TABLE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return _check_schema(connection)


async def _check_server(url: URL) -> Result:
    """Connect with the options of the bot."""
    server = open_executor(url, TIMEOUT, TIMEOUT)
    try:
        return await server.run(_check_schema, {})
    finally:
        await server.close()


def _check_schema(connection: Connection) -> Result:
    """Read the schema's version, then try to write; the end of the connection rolls back."""
    try:
        version = known_version(connection)
    except SchemaError as error:
        return DATABASE.problem(f"{error.why[0].upper()}{error.why[1:]}.", error.do)
    if version is None:
        connection.execute(PROBE)
        return DATABASE.ok(EMPTY)
    if version != NEWEST:
        connection.execute(PROBE)  # as an update of the schema does
        return DATABASE.warning(
            f"Its tables have version {version}; this program has {NEWEST}.",
            "Back up the database; `serve` updates the tables when it starts.",
        )
    # Insert zero rows into every table, for which the database checks the permission too.
    for table in metadata.sorted_tables:
        no_rows = select(table).where(false())
        connection.execute(table.insert().from_select(table.columns.keys(), no_rows))
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
    return DATABASE.ok(f"It opens, can be written, and has the newest tables ({NEWEST}).")
