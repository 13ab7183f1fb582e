"""What the rest of the bot sees of its settings: frozen values, secrets that cannot print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from bot.atlas import ApiVersion, Credentials, DigestKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from bot.cancellation.policy import Policy

#: How the variables end that hold headers, keys for a collector among them.
HEADERS = "_HEADERS"

LogFormat: TypeAlias = Literal["console", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    """How the bot speaks with Slack.

    Attributes:
        bot_token: `xoxb-…`.
        app_token: `xapp-…`; with it the bot uses Socket Mode.
        signing_secret: checks what Slack sends over HTTP.
        api_url: base of the Web API, with a slash at its end.
    """

    bot_token: SecretStr
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    api_url: str = "https://slack.com/api/"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasSettings:
    """How the bot speaks with Atlas, the same for every project.

    Attributes:
        base_url: scheme and host, perhaps with the path of a gateway; no slash at its end.
        version: which version of the Administration API.
        envelope: whether enveloped answers are asked for.
    """

    base_url: str = "https://cloud.mongodb.com"
    version: ApiVersion = ApiVersion.V2
    envelope: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """Where spans go.

    Attributes:
        exporter: `otlp` sends them to a collector, `console` prints them.
        variables: every `OTEL_…` variable, for the SDK that reads them itself; headers are secret.
    """

    exporter: Literal["otlp", "console"]
    variables: Mapping[str, SecretStr]

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The values of the headers, each by itself: `key1=value1,key2=value2`, URL-encoded."""
        given = [v.get_secret_value() for k, v in self.variables.items() if k.endswith(HEADERS)]
        pairs = [pair.strip() for text in given for pair in text.split(",")]
        # Whatever is no pair may be a key that somebody gave without a name.
        values = [pair.partition("=")[2].strip() or pair for pair in pairs]
        # The token of `Authorization: Bearer token` is secret without its first word too.
        whole = [unquote(value) for value in values]
        words = {*whole, *(value.rpartition(" ")[2] for value in whole)}
        return tuple(SecretStr(word) for word in sorted(words) if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """One Atlas project.

    Attributes:
        name: as people type it; None for the single project of `MONGODB_ATLAS_PROJECT_ID`, whose
            name is the one Atlas has.
        id: 24 lower-case hexadecimal digits.
        credentials: what opens it.
        policy: its rules.
        watch_channel: where its new download restore jobs are announced, or None.
    """

    name: str | None
    id: str
    credentials: Credentials
    policy: Policy
    watch_channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked.

    Attributes:
        database_url: `sqlite:///path` or `postgresql://…`; secret, for it may hold a password.
        port: 0 takes a free one.
        log_level: Python's name of the level, in capitals.
        log_format: None decides by terminal.
        watch_interval: between two looks for new download restore jobs.
        tracing: where spans go; None is nowhere.
        unused: variables that are set but count for nothing, because another one is set.
        unknown: variables that begin like ours and are none, with the nearest that is one.
    """

    slack: SlackSettings
    atlas: AtlasSettings
    projects: tuple[ProjectSettings, ...]
    database_url: SecretStr
    host: str
    port: int
    log_level: str
    log_format: LogFormat | None
    watch_interval: timedelta
    tracing: TracingSettings | None = None
    unused: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def socket_mode(self) -> bool:
        """Whether Slack is reached by Socket Mode: as soon as there is an app token."""
        return self.slack.app_token is not None

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret, for those who must keep them out of what they write."""
        slack = (self.slack.bot_token, self.slack.app_token, self.slack.signing_secret)
        url = make_url(self.database_url.get_secret_value())
        passwords = (url.password, *map(url.query.get, ("password", "sslpassword")))
        return (
            *(secret for secret in slack if secret is not None),
            *(_secret_of(project.credentials) for project in self.projects),
            *(SecretStr(each) for each in passwords if isinstance(each, str) and each),
            *(self.tracing.secrets if self.tracing else ()),
        )


def _secret_of(credentials: Credentials) -> SecretStr:
    if isinstance(credentials, DigestKey):
        return credentials.private_key
    return credentials.client_secret
