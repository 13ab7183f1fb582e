"""One parser a kind of address: of Slack, of Atlas, of the database, and of this machine."""

from __future__ import annotations

import re
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bot.settings.parsers import NUMBER, PRINTABLE, text

MOST_PORT = 65535

#: What poolers of PostgreSQL need set to 0; SQLAlchemy reads it.
CACHE_SIZE = "prepared_statement_cache_size"

_HOST = re.compile(r"(?![0-9.]+\Z)\w([\w.-]*\w)?", re.ASCII)


def slack_api_url(value: object) -> str:
    """Return the base of the Web API with the slash at its end that Slack's client wants."""
    return web_address(value, "https://slack.com/api/").geturl().rstrip("/") + "/"


def atlas_url(value: object) -> str:
    """Return the base address without a slash at its end."""
    parts = web_address(value, "https://cloud.mongodb.com")
    if "/api/" in f"{parts.path}/":
        raise ValueError("must stop before /api: https://cloud.mongodb.com, for example")
    return parts.geturl().rstrip("/")


def collector_url(value: object) -> str:
    """Return the base address of a collector, to which the SDK adds /v1/traces."""
    return web_address(value, "http://localhost:4318").geturl()


def web_address(value: object, example: str) -> SplitResult:
    parts = split_url(text(value))
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"must be a web address such as {example}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"must not have a user, a ? or a # in it: {example}, for example")
    return parts


def split_url(url: str) -> SplitResult | None:
    """Split `url`; None where it is malformed, its port included."""
    if not PRINTABLE.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def host(value: object) -> str:
    """Accept an IP address or a name, as a server listens on it."""
    given = text(value)
    if not _is_address(given) and not _HOST.fullmatch(given):
        raise ValueError(
            "must be an address or a name of this machine, without scheme and port: 127.0.0.1, "
            "or 0.0.0.0 for all of its addresses"
        )
    return given


def _is_address(given: str) -> bool:
    try:
        ip_address(given)
    except ValueError:
        return False
    return True


def database_url(value: object) -> SecretStr:
    """Accept a file of SQLite, or PostgreSQL where its driver is installed."""
    given = text(value)
    try:
        parts = make_url(given)
    except (ArgumentError, ValueError):
        raise ValueError(
            "must be sqlite:///path or postgresql://user:password@host:port/name, the port a number"
        ) from None
    if parts.drivername not in {"sqlite", "postgresql"}:
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if "@" in (parts.host or ""):
        raise ValueError("has an @ in its user or password: write it as %40, and a % as %25")
    if not names_a_database(parts):
        raise ValueError("must name a file (sqlite:///path) or a database (postgresql://host/name)")
    if parts.drivername == "sqlite" and parts.query:
        raise ValueError("must not have a ? in it: it is sqlite:///path")
    if not NUMBER.fullmatch(str(parts.query.get(CACHE_SIZE, 0))):
        raise ValueError(f"has {CACHE_SIZE}, which must be a whole number")
    if parts.drivername == "postgresql" and find_spec("asyncpg") is None:
        raise ValueError(
            "needs the PostgreSQL driver, which is not installed: "
            "install the bot with its extra postgres, as in pip install '.[postgres]'"
        )
    return SecretStr(given)


def names_a_database(url: URL) -> bool:
    """A record in memory would be lost with the process, so it does not count."""
    if url.drivername == "sqlite" and (url.host or url.database == ":memory:"):
        return False
    return bool(url.database) and (url.port is None or url.port <= MOST_PORT)
