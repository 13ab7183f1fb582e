"""Types of single values, from a variable's text or from TOML, with what makes one invalid.

A validator that raises a `ValueError` without a text leaves the sentence to the setting, which
says what the value must be. No sentence contains a value: it may be a misplaced secret.
"""

import re
from importlib.util import find_spec
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainValidator, SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bot.atlas.transport import is_loopback
from bot.cancellation.people import People

MAX_PORT = 65535
FLAG = "true or false"  #: what the value of a flag must be
MAX_NOTE = 200  #: characters
_PERSON = re.compile(r"[UWS][A-Z0-9]+")
_CLUSTER = re.compile(r"[A-Za-z0-9*?-]{1,64}")


#: A key that was pasted in its place does not match.
VARIABLE_NAME = r"[A-Z_][A-Z0-9_]*"


def matching(pattern: str) -> BeforeValidator:
    """Return a validator of texts that match `pattern` completely."""

    def check(value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return BeforeValidator(check)


def variable_name(value: object) -> str | None:
    """Return the name of a variable, or None where it is none."""
    is_name = isinstance(value, str) and re.fullmatch(VARIABLE_NAME, value)
    return str(value) if is_name else None


def _number(value: object) -> object:
    """Refuse a boolean, which Python and pydantic take for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - pydantic collects value errors
    return value


def _optional(value: object) -> object:
    """Take an empty text of the projects file as not set, in place of what a variable sets."""
    return None if value == "" else value


def _items(value: object, pattern: re.Pattern[str]) -> list[str]:
    """Return the items of a comma-separated text or of a list; all must match `pattern`."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list):
        raise ValueError  # noqa: TRY004 - pydantic collects value errors
    items = [item.strip() if isinstance(item, str) else "" for item in given]
    if isinstance(value, str):
        items = [item for item in items if item]
    if not all(pattern.fullmatch(item) for item in items):
        raise ValueError
    return items


def _people(value: object) -> People:
    items = _items(value, re.compile(rf"\*|{_PERSON.pattern}"))
    if not items:
        raise ValueError
    named = _named_people([item for item in items if item != "*"])
    return named | People(everyone="*" in items)


def _named_people(value: object) -> People:
    items = _items(value, _PERSON)
    groups = frozenset(item for item in items if item.startswith("S"))
    return People(users=frozenset(items) - groups, groups=groups)


def _cluster_names(value: object) -> tuple[str, ...]:
    names = _items(value, _CLUSTER)
    if not names:
        raise ValueError
    return tuple(names)


def _web_address(value: object) -> str:
    """Return an address without a slash at its end, to which nobody on the way can listen."""
    address = value if isinstance(value, str) and re.fullmatch(r"[!#-~]+", value) else ""
    try:
        parts = urlsplit(address)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a malformed host or port
        raise ValueError from None
    is_bare = not ("@" in parts.netloc or parts.query or parts.fragment)
    if parts.scheme not in {"http", "https"} or not is_complete or not is_bare:
        raise ValueError
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://: plain http is allowed to this machine only")
    return address.rstrip("/")


def _slack_address(value: object) -> str:
    """End the address with the slash that Slack's client needs."""
    return f"{_web_address(value)}/"


def _atlas_address(value: object) -> str:
    address = _web_address(value)
    if "/api/" in f"{urlsplit(address).path}/":
        raise ValueError("must end before /api: https://cloud.mongodb.com, for example")
    return address


def _database_url(value: object) -> object:
    """Refuse what is neither a SQLite file nor a PostgreSQL database whose driver is installed."""
    if isinstance(value, SecretStr):  # it was read already
        return value
    try:
        url = make_url(value if isinstance(value, str) else "")
    except (ArgumentError, ValueError):
        raise ValueError from None
    if url.drivername == "sqlite":
        # A database in memory would lose the record with the process.
        is_file = url.database and url.database != ":memory:"
        if not is_file or url.host or url.query:
            raise ValueError
    elif url.drivername == "postgresql":
        _check_postgresql(url.host or "", url.database, url.port)
    else:
        raise ValueError
    return value


def _check_postgresql(host: str, database: str | None, port: int | None) -> None:
    if "@" in host:
        raise ValueError("has an @ in its user or password: write it as %40, and a % as %25")
    if not database or (port or 0) > MAX_PORT:
        raise ValueError
    if find_spec("psycopg") is None:
        raise ValueError(
            "needs the PostgreSQL driver: install the bot with its extra postgres, "
            "as in .venv/bin/pip install '.[postgres]'"
        )


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


#: Sent in HTTP headers: visible ASCII without the quotation mark.
Secret = Annotated[SecretStr, matching(r"[!#-~]+")]
BotToken = Annotated[SecretStr, matching(r"xoxb-[!#-~]+")]
AppToken = Annotated[SecretStr, matching(r"xapp-[!#-~]+")]
Whole = Annotated[int, BeforeValidator(_number)]
Approvals = Annotated[Whole, Field(ge=0, le=5)]
Seconds = Annotated[Whole, Field(ge=1)]
OptionalSeconds = Annotated[Seconds | None, BeforeValidator(_optional)]
Channel = Annotated[str, matching(r"[CG][A-Z0-9]+")]
OptionalChannel = Annotated[Channel | None, BeforeValidator(_optional)]
AnyPeople = Annotated[People, PlainValidator(_people)]
NamedPeople = Annotated[People, PlainValidator(_named_people)]
ClusterNames = Annotated[tuple[str, ...], PlainValidator(_cluster_names)]
ProjectId = Annotated[str, matching(r"[0-9a-fA-F]{24}")]
#: One word of the command, which is neither an id nor another word of it.
ProjectName = Annotated[str, matching(r"(?i:(?!([0-9a-f]{24}|list|help)\Z)[^\s/]{1,64})")]
VariableName = Annotated[str, matching(VARIABLE_NAME)]
SlackAddress = Annotated[str, BeforeValidator(_slack_address)]
AtlasAddress = Annotated[str, BeforeValidator(_atlas_address)]
Host = Annotated[str, matching(r"[\w.-]+|[0-9a-fA-F:]+")]
Port = Annotated[int, Field(ge=0, le=MAX_PORT)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(_database_url)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
]
LogFormat = Annotated[Literal["console", "json"], BeforeValidator(_lower)]
Interval = Annotated[float, Field(ge=1, le=3600)]
Note = Annotated[str, Field(max_length=MAX_NOTE)]
