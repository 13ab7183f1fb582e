"""The ledger's schema: which version the database has, and how it comes to the newest one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table, text

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

#: The version that this program works with; a test holds it to be the last of `migrations`.
#: Versions are numbers of four digits.
NEWEST = "0003"

#: Any fixed number: two replicas that start together take turns with it.
TURN = 0x5CA1AB1E

#: Alembic's own table.
VERSIONS = table("alembic_version", column("version_num"))


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


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest version, whole or not at all."""
    # Most starts find the newest version, and do without 250 ms and 12 MB of memory.
    from alembic import command  # noqa: PLC0415 - see above

    # Begun here: Alembic would commit each version of SQLite's schema by itself, between which
    # another replica could begin.
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": TURN})
        command.upgrade(config(connection), "head")


def config(connection: Connection | None = None) -> Config:
    """Return what Alembic needs to know."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", "bot.cancellation:migrations")
    config.attributes["connection"] = connection
    return config
