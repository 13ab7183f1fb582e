"""The settings as frozen pydantic models: names, parsers, defaults and the text of the docs."""

import base64
import binascii
import re
from collections.abc import Container, Iterator
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from typing import IO, Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream
from pydantic import ConfigDict, SecretStr
from pydantic import PlainValidator as Parser
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bot.atlas import ApiVersion
from bot.atlas.transport import is_loopback
from bot.settings import parsers
from bot.settings.parsers import Model, setting
from bot.settings.policy import Flag, OrganizationSettings, PolicyHolder, ProjectSettings, Seconds

OF_BOT = "it is the Bot User OAuth Token, in Slack under OAuth & Permissions"
OF_APP = "it is the App-Level Token, in Slack under Basic Information"
SWAPPED = "this is the other token, swapped with"
BOT_TOKEN = parsers.secret(
    ("xapp-", f"must begin with xoxb-: {SWAPPED} SLACK_APP_TOKEN"),
    ("(?!xoxb-)", f"must begin with xoxb-: {OF_BOT}"),
)
APP_TOKEN = parsers.secret(
    ("xoxb-", f"must begin with xapp-: {SWAPPED} SLACK_BOT_TOKEN"),
    ("(?!xapp-)", f"must begin with xapp-: {OF_APP}"),
)
SIGNING_SECRET = parsers.secret(
    ("xox|xapp-", "is a token: the Signing Secret is in Slack under Basic Information")
)
_HOST = re.compile(r"(?![0-9.]+\Z)\w([\w.-]*\w)?", re.ASCII)
MAX_PORT = 65535
#: The prefix of a secret by the Standard Webhooks convention.
WEBHOOK_SECRET = "whsec_"  # noqa: S105 - a prefix
STANDARD_SECRET = parsers.secret(
    (
        f"(?!{WEBHOOK_SECRET})",
        f"must begin with {WEBHOOK_SECRET}, with the base64 of the key behind it",
    )
)
#: As Slack takes them in a manifest.
slash_command = parsers.matching(
    r"/[a-z0-9_-]{1,31}",
    "must be a slash and up to 31 of a-z, 0-9, - and _, such as /cancel-restore-eu",
)
LABEL = parsers.matching(
    r"[^\x00-\x1f\x7f\u2028\u2029]{1,40}",
    "must be one line of up to 40 characters, such as EU production",
)
LOG_LEVEL = parsers.one_of(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), str.upper)
LOG_FORMAT = parsers.one_of(("console", "json"))
API_VERSION = parsers.one_of(tuple(ApiVersion), str)


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


def listening_host(value: object) -> str:
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


def url_of_database(value: object) -> SecretStr:
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
    is_usable = not is_in_memory if parts.drivername == "sqlite" else (parts.port or 0) <= MAX_PORT
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


class SlackSettings(Model):
    model_config = ConfigDict(alias_generator=lambda name: f"SLACK_{name.upper()}")

    bot_token: Annotated[SecretStr, Parser(BOT_TOKEN)] = setting(
        "Bot User OAuth Token, `xoxb-…`", default=SecretStr(""), shown="required"
    )
    app_token: Annotated[SecretStr | None, Parser(APP_TOKEN)] = setting(
        "App-Level Token, `xapp-…`; with it the bot uses Socket Mode", shown="one of these two"
    )
    signing_secret: Annotated[SecretStr | None, Parser(SIGNING_SECRET)] = setting(
        "for HTTP mode, used when there is no app token", shown="one of these two"
    )
    api_url: Annotated[str, Parser(slack_api_url)] = setting(
        "base of Slack's Web API, for GovSlack and test servers", default="https://slack.com/api/"
    )


class AtlasSettings(Model):
    """Access to Atlas, the same for every project."""

    model_config = ConfigDict(alias_generator=lambda name: f"MONGODB_ATLAS_{name.upper()}")

    project_id: Annotated[str | None, Parser(parsers.atlas_id)] = setting(
        "the project (group) id, 24 hexadecimal digits", shown="required without a projects file"
    )
    base_url: Annotated[str, Parser(atlas_url)] = setting(
        "host of the API, for Atlas for Government and gateways",
        default="https://cloud.mongodb.com",
    )
    api_version: Annotated[ApiVersion, Parser(API_VERSION)] = setting(
        "`v2`, or `v1.0` for the older API, whose list of clusters may end on 2027-07-01",
        default=ApiVersion.V2,
    )
    envelope: Flag = setting(
        "ask for enveloped answers, where a gateway hides statuses or headers", default=False
    )


class AuditWebhookSettings(Model):
    model_config = ConfigDict(alias_generator=lambda name: f"BOT_AUDIT_WEBHOOK_{name.upper()}")

    url: Annotated[SecretStr, Parser(webhook_url)] = setting(
        "every event of the audit log is posted there ([audit-webhook](audit-webhook.md))",
        default=SecretStr(""),
        shown="none",
    )
    secret: Annotated[SecretStr, Parser(webhook_secret)] = setting(
        "signs the posts, `whsec_…`", default=SecretStr(""), shown="with the address"
    )


class Settings(Model):
    slack: SlackSettings = SlackSettings()
    atlas: AtlasSettings = AtlasSettings()
    projects: tuple[ProjectSettings, ...] = ()
    organizations: tuple[OrganizationSettings, ...] = ()
    audit_webhook: AuditWebhookSettings | None = None
    risks: tuple[str, ...] = ()  #: what was found where the settings come from; sentences

    database_url: Annotated[SecretStr, Parser(url_of_database)] = setting(
        "`sqlite:///path`, or `postgresql://user:password@host/name` with the extra `postgres`",
        default=SecretStr("sqlite:///cancel-restore.db"),
        alias="DATABASE_URL",
    )
    watch_interval: Seconds = setting(
        "seconds between two reads of the jobs",
        default=timedelta(seconds=60),
        alias="BOT_WATCH_INTERVAL",
    )
    events_interval: Seconds = setting(
        "seconds between two reads of a project's activity feed; a restore request in it makes the "
        "watch read the project's jobs immediately",
        default=timedelta(seconds=15),
        alias="BOT_EVENTS_INTERVAL",
    )
    command: Annotated[str, Parser(slash_command)] = setting(
        "the slash command of this deployment, where a workspace has several bots; "
        "`cancel-restore manifest --command` writes it",
        default="/cancel-restore",
        alias="BOT_COMMAND",
    )
    label: Annotated[str | None, Parser(LABEL)] = setting(
        "a word on every card, announcement and Home tab, such as `EU production`",
        alias="BOT_LABEL",
        shown="none",
    )
    projects_file: Annotated[str | None, Parser(parsers.text)] = setting(
        "several projects, in TOML (below)", alias="BOT_PROJECTS_FILE", shown="none"
    )
    host: Annotated[str, Parser(listening_host)] = setting(
        "where the HTTP side listens; the container sets `0.0.0.0`",
        default="127.0.0.1",
        alias="HOST",
    )
    #: 0 takes a free port.
    port: Annotated[int, Parser(parsers.whole(0, MAX_PORT))] = setting(
        "its port", default=3000, alias="PORT"
    )
    log_level: Annotated[str, Parser(LOG_LEVEL)] = setting(
        "`DEBUG` (with what people type), `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
        default="INFO",
        alias="LOG_LEVEL",
    )
    log_format: Annotated[Literal["console", "json"] | None, Parser(LOG_FORMAT)] = setting(
        "`console` or `json`", alias="LOG_FORMAT", shown="by terminal"
    )

    @property
    def policy_holders(self) -> tuple[PolicyHolder, ...]:
        return (*self.projects, *self.organizations)

    @property
    def socket_mode(self) -> bool:
        return self.slack.app_token is not None

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        slack = (self.slack.bot_token, self.slack.app_token, self.slack.signing_secret)
        url = make_url(self.database_url.get_secret_value())
        passwords = (url.password, *map(url.query.get, ("password", "sslpassword")))
        return (
            *(secret for secret in slack if secret is not None),
            *(holder.credentials.secret for holder in self.policy_holders),
            *(SecretStr(each) for each in passwords if isinstance(each, str) and each),
            *((hook.url, hook.secret) if (hook := self.audit_webhook) else ()),
        )


def unread(file: IO[str], names: Container[str]) -> Iterator[str]:
    """Report the lines of an `.env` that set nothing; others than `names` may be secrets."""
    for binding in parse_stream(file):
        if binding.error or (binding.key and binding.value is None):
            original = binding.original.string
            line = original.lstrip()
            number = binding.original.line + original[: -len(line)].count("\n")
            word = re.split(r"[\s=]", line, maxsplit=1)[0]
            start = f"“{word} …”" if word in names else "it"
            why = "cannot be read" if "=" in line else "has no “=”"
            yield f"line {number}: {start} {why}: write NAME=VALUE"
