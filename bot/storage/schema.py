"""The ledger's schema: which version the database has, and how it comes to the newest one."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, func, select
from sqlalchemy import inspect as look_into

from bot.storage.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

#: The version that this program works with; a test holds it to be the last of `migrations`.
#: Versions are numbers of four digits.
NEWEST = "0003"

#: Any fixed number: two replicas that start together take turns with it.
TURN = 0x5CA1AB1E

#: Alembic's own table, as Alembic makes it.
VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class SchemaError(Exception):
    """The database's tables cannot be used; the text says why, and what to do.

    Attributes:
        why: the first paragraph of the leaf's docstring, as a clause.
        do: the second.
    """

    def __init__(self, **facts: str) -> None:
        text = (inspect.getdoc(type(self)) or "").format(**facts)
        self.why, self.do = (" ".join(each.split()) for each in text.split("\n\n"))
        super().__init__(f"{self.why[0].upper()}{self.why[1:]}. {self.do}")


class NewerSchema(SchemaError):
    """a newer program has changed its tables (version {version})

    Update this program, or go back to the backup of its time.
    """  # noqa: D415 - a clause


class NotOurTables(SchemaError):
    """it has tables of another program ({tables})

    Name a database, or a schema, that this program has for itself.
    """  # noqa: D415 - a clause


def version_of(connection: Connection) -> str | None:
    """Return the version of the schema; None before the first."""
    if not look_into(connection).has_table(VERSIONS.name):
        return None
    version = connection.execute(select(VERSIONS.c.version_num)).scalar_one_or_none()
    return None if version is None else str(version)


def is_current(connection: Connection) -> bool:
    """Say whether the schema is of the newest version; raises `SchemaError`."""
    return _known_version(connection) == NEWEST


def has_tables(connection: Connection) -> bool:
    """Say whether the database has tables of this program; raises `SchemaError`."""
    return _known_version(connection) is not None


def _known_version(connection: Connection) -> str | None:
    version = version_of(connection)
    if version is None and (taken := _taken(connection)):
        version = version_of(connection)  # another replica may just have made them
        if version is None:
            raise NotOurTables(tables=", ".join(taken))
    if version and not re.fullmatch(r"\d{4}", version):
        raise NotOurTables(tables=VERSIONS.name)
    if version and version > NEWEST:
        raise NewerSchema(version=version)
    return version


def _taken(connection: Connection) -> list[str]:
    """Return which names of the ledger's tables are taken."""
    there = look_into(connection)
    return [table.name for table in metadata.sorted_tables if there.has_table(table.name)]


def create(connection: Connection) -> bool:
    """Give an empty database the newest schema, whole or not at all, and say whether it has it.

    It has not where its tables are of an earlier version, or where it is another replica's turn.
    What the versions make is made here in one step; a test holds the two to be the same.
    """
    with connection.begin():
        if not _take_turn(connection, "pg_try_advisory_xact_lock"):
            return False
        if version_of(connection) is None:
            _create_all(connection)
        return version_of(connection) == NEWEST


def _create_all(connection: Connection) -> None:
    # What a database gets once, a bot need not carry.
    from bot.storage.indexes import whole_schema  # noqa: PLC0415 - see above

    whole_schema(connection.dialect.name).create_all(connection, checkfirst=False)
    VERSIONS.create(connection)
    connection.execute(VERSIONS.insert().values(version_num=NEWEST))


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest version, whole or not at all, once it is our turn."""
    # Most starts find the newest version, and do without 250 ms and 12 MB of memory.
    from alembic import command  # noqa: PLC0415 - see above

    # Begun here: Alembic would commit each version of SQLite's schema by itself, between which
    # another replica could begin.
    with connection.begin():
        _take_turn(connection, "pg_advisory_xact_lock")
        command.upgrade(config(connection), "head")


def _take_turn(connection: Connection, lock: str) -> bool:
    """Take the turn until the transaction ends; SQLite's has it from its begin."""
    if connection.dialect.name == "sqlite":
        return True
    return connection.execute(select(getattr(func, lock)(TURN))).scalar() is not False


def config(connection: Connection | None = None) -> Config:
    """Return what Alembic needs to know."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", "bot.storage:migrations")
    config.attributes["connection"] = connection
    return config
