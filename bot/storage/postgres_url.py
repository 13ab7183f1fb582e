"""Turns the address of a PostgreSQL, as its tools write it, into what the driver takes (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL

DRIVER = "postgresql+asyncpg"

#: What SQLAlchemy reads itself; everything else behind the ? is libpq's, and the driver's to read.
OF_SQLALCHEMY = frozenset({"prepared_statement_cache_size"})

#: What only libpq knows: the driver would take it for a setting of the server, which refuses it.
OF_LIBPQ_ALONE = frozenset(
    {
        *("channel_binding", "connect_timeout", "fallback_application_name", "gssencmode"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("sslcompression", "sslsni", "tcp_user_timeout"),
    }
)

#: SQLAlchemy's own word for the one parameter that everybody sets.
SAME = {"ssl": "sslmode"}


def for_the_driver(url: URL) -> tuple[URL, Mapping[str, str]]:
    """Split `url` into the address for SQLAlchemy and the driver's own arguments.

    SQLAlchemy passes what is behind the ? as arguments by name, and asyncpg has none named
    `sslmode` or `sslrootcert`. In an address of its own it reads them all:
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    ours = {name: url.query[name] for name in url.query if name in OF_SQLALCHEMY}
    rest = url.query.keys() - ours.keys() - OF_LIBPQ_ALONE
    theirs = {SAME.get(name, name): url.query[name] for name in sorted(rest)}
    plain = url.set(drivername=DRIVER, query=ours)
    return plain, {"dsn": f"postgresql://?{urlencode(theirs, doseq=True)}"} if theirs else {}
