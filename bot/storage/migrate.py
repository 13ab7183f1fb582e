"""Reads the version of the database's schema, and upgrades it to the newest one at the start."""

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, select
from sqlalchemy import inspect as inspect_database
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from bot.storage.database import open_executor
from bot.storage.executor import WRITES
from bot.storage.sqlite import keep_private
from bot.storage.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config  # loading Alembic takes 0.25 s

T = TypeVar("T")
#: The newest version of the schema, a number of four digits: that of the last migration's file.
NEWEST = max(each.name[1:5] for each in Path(__file__).parent.glob("migrations/versions/v*.py"))
#: The key of PostgreSQL's advisory lock: replicas that start together upgrade one after the other.
ADVISORY_LOCK = 0x5CA1AB1E
UPGRADE_TIMEOUT = 300  #: seconds for which a replica waits at its start while another one upgrades
#: Seconds for which a thread waits for SQLite's lock. Not each such wait can be cancelled, so
#: longer waits consist of several tries.
LOCK_TIMEOUT = 1
#: Alembic's own table, as Alembic creates it.
VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class SchemaError(Exception):
    """The database's tables cannot be used: `why`, a clause, and what to `do`."""

    def __init__(self, why: str, do: str) -> None:
        super().__init__(f"{why[0].upper()}{why[1:]}. {do}")
        self.why, self.do = why, do


def _foreign_tables(names: str) -> SchemaError:
    return SchemaError(
        f"it has tables of another program ({names})",
        "Name a database, or a schema, that this program has for itself.",
    )


async def ensure_current(database_url: str) -> None:
    """Upgrade the schema to the newest version where needed.

    Raises `SQLAlchemyError` or `OSError` if the database cannot be opened or refuses the tables,
    and `SchemaError` if it has those of a newer program, or of another one.
    """
    if not await is_current(database_url):
        await _run(database_url, _upgrade, writes=True)


async def is_current(database_url: str) -> bool:
    """Return whether the schema has the newest version; raises what `ensure_current` raises."""
    return await _run(database_url, known_version, writes=False) == NEWEST


async def _run(database_url: str, work: Callable[[Connection], T], *, writes: bool) -> T:
    """Run `work` in a transaction, waiting for a SQLite file that another process has locked."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        keep_private(url)
    executor = open_executor(url, LOCK_TIMEOUT, UPGRADE_TIMEOUT)
    deadline = time.monotonic() + UPGRADE_TIMEOUT
    try:
        while True:
            try:
                return await executor.run(work, {WRITES: writes})
            except OperationalError as error:
                code = getattr(error.orig, "sqlite_errorcode", None)
                is_locked = code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                if not is_locked or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0)
    finally:
        await executor.close()


def _upgrade(connection: Connection) -> None:
    """Upgrade to the newest version in one transaction, one replica at a time."""
    # Alembic would commit each version separately on SQLite: this transaction spans all of them.
    with connection.begin():
        if connection.dialect.name == "postgresql":  # SQLite's transaction holds its write lock
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        if known_version(connection):
            run_migrations(connection)
        else:
            create_tables(connection)


def create_tables(connection: Connection) -> None:
    """Create the newest tables in an empty database."""
    metadata.create_all(connection)
    VERSIONS.create(connection)
    connection.execute(VERSIONS.insert().values(version_num=NEWEST))


def run_migrations(connection: Connection) -> None:
    """Upgrade existing tables with Alembic, which takes 250 ms and 10 MB to load."""
    from alembic import command  # noqa: PLC0415 - see above

    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection | None = None) -> "Config":
    """Return Alembic's configuration; `migrations/env.py` uses the connection."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", "bot.storage:migrations")
    config.attributes["connection"] = connection
    return config


def _version_of(connection: Connection) -> str | None:
    if not inspect_database(connection).has_table(VERSIONS.name):
        return None
    version = connection.execute(select(VERSIONS.c.version_num)).scalar_one_or_none()
    return version and str(version)  # another program's may be a number


def known_version(connection: Connection) -> str | None:
    """Return the version of the schema, or None for an empty database; raises `SchemaError`."""
    version = _version_of(connection)
    has_table = inspect_database(connection).has_table
    tables = [table.name for table in metadata.sorted_tables]
    if version is None and (foreign := [name for name in tables if has_table(name)]):
        version = _version_of(connection)  # another replica may have created them just now
        if version is None:
            raise _foreign_tables(", ".join(foreign))
    if version and not re.fullmatch(r"\d{4}", version):
        raise _foreign_tables(VERSIONS.name)
    if version and version > NEWEST:
        raise SchemaError(
            f"a newer program has changed its tables (version {version})",
            "Update this program, or go back to the backup of its time.",
        )
    return version
