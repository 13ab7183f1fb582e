"""The ledger's schema: which version the database has, and how it comes to the newest one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, func, inspect, select

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


class NewerSchema(Exception):
    """A newer program has changed its tables (version {version}).

    Update this program, or go back to the backup of its time.
    """

    def __init__(self, version: str) -> None:
        super().__init__(" ".join((self.__doc__ or "").format(version=version).split()))


def version_of(connection: Connection) -> str | None:
    """Return the version of the schema; None before the first."""
    if not inspect(connection).has_table(VERSIONS.name):
        return None
    return connection.execute(select(VERSIONS.c.version_num)).scalar_one_or_none()


def is_current(connection: Connection) -> bool:
    """Say whether the schema is of the newest version; raises `NewerSchema`."""
    version = version_of(connection)
    if version is not None and version > NEWEST:
        raise NewerSchema(version)
    return version == NEWEST


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
    from bot.cancellation.indexes import whole_schema  # noqa: PLC0415 - see above

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
    config.set_main_option("script_location", "bot.cancellation:migrations")
    config.attributes["connection"] = connection
    return config
