"""Parse the addresses of servers and of the database, and their secrets, as `parsers` does."""

import base64
import binascii
import re
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bot.atlas.transport import is_loopback
from bot.settings import parsers

_HOST = re.compile(r"(?![0-9.]+\Z)\w([\w.-]*\w)?", re.ASCII)
#: The prefix of a secret by the Standard Webhooks convention.
WEBHOOK_SECRET = "whsec_"  # noqa: S105 - a prefix
STANDARD_SECRET = parsers.secret(
    (
        f"(?!{WEBHOOK_SECRET})",
        f"must begin with {WEBHOOK_SECRET}, with the base64 of the key behind it",
    )
)


def slack_api_url(value: object) -> str:
    """Parse the base URL of the Web API, and end it with the slash that Slack's client needs."""
    parts = _secure(_web_address(value, "https://slack.com/api/"))
    return parts.geturl().rstrip("/") + "/"


def atlas_url(value: object) -> str:
    """Parse the base URL of Atlas without a slash at its end."""
    parts = _secure(_web_address(value, "https://cloud.mongodb.com"))
    if "/api/" in f"{parts.path}/":
        raise ValueError("must end before /api: https://cloud.mongodb.com, for example")
    return parts.geturl().rstrip("/")


def _web_address(value: object, example: str) -> SplitResult:
    parts = _split(value, example)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"must not have a user, a ? or a # in it: {example}, for example")
    return parts


def _secure(parts: SplitResult) -> SplitResult:
    """Refuse an address to which requests can be read and changed on the way."""
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://: plain http is allowed to this machine only")
    return parts


def _split(value: object, example: str) -> SplitResult:
    given = parsers.text(value)
    with suppress(ValueError):  # a malformed host or port
        parts = urlsplit(given)
        is_web = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if is_web and parsers.PRINTABLE.fullmatch(given):
            return parts
    raise ValueError(f"must be a web address such as {example}")


def host(value: object) -> str:
    """Parse the IP address or name on which a server listens."""
    given = parsers.text(value)
    with suppress(ValueError):
        if not _HOST.fullmatch(given):
            ip_address(given)
        return given
    raise ValueError(
        "must be an address or a name of this machine, without scheme and port: "
        "127.0.0.1, or 0.0.0.0 for all of its addresses"
    )


def webhook_url(value: object) -> SecretStr:
    """Parse the address of the audit webhook; it is secret, since its query may hold a token."""
    parts = _secure(_split(value, "https://siem.example.com/events"))
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must not have a user or a # in it: the signature is the login")
    return SecretStr(parts.geturl())


def webhook_secret(value: object) -> SecretStr:
    """Parse a secret of the Standard Webhooks convention."""
    given = STANDARD_SECRET(value)
    encoded = given.get_secret_value().removeprefix(WEBHOOK_SECRET)
    with suppress(binascii.Error):
        if base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True):
            return given
    raise ValueError(
        f"is not base64 behind {WEBHOOK_SECRET}: "
        'make one with: echo "whsec_$(openssl rand -base64 32)"'
    )


def database_url(value: object) -> SecretStr:
    """Parse the URL of a SQLite file, or of PostgreSQL when its driver is installed."""
    given = parsers.text(value)
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
    # The audit log of a database in memory would be lost with the process.
    is_in_memory = parts.host or parts.database == ":memory:"
    is_usable = (
        not is_in_memory if parts.drivername == "sqlite" else (parts.port or 0) <= parsers.MAX_PORT
    )
    if not parts.database or not is_usable:
        raise ValueError("must name a file (sqlite:///path) or a database (postgresql://host/name)")
    if parts.drivername == "sqlite" and parts.query:
        raise ValueError("must not have a ? in it: it is sqlite:///path")
    if parts.drivername == "postgresql" and find_spec("psycopg") is None:
        raise ValueError(
            "needs the PostgreSQL driver, which is not installed: "
            "install the bot with its extra postgres, as in pip install '.[postgres]'"
        )
    return SecretStr(given)
