"""The settings as frozen models: variables, meanings, defaults, and what each value must be."""

from dataclasses import dataclass

from pydantic import InstanceOf, SecretStr
from sqlalchemy.engine import make_url

from bot.atlas import ApiVersion, Credentials
from bot.cancellation.policy import Policies
from bot.settings import values
from bot.settings.reading import Model, setting


class SlackSettings(Model):
    bot_token: values.BotToken = setting(
        "SLACK_BOT_TOKEN",
        "Bot User OAuth Token, `xoxb-…`",
        must="the Bot User OAuth Token (xoxb-…), in Slack's app under OAuth & Permissions",
        shown="required by `serve`",
    )
    app_token: values.AppToken = setting(
        "SLACK_APP_TOKEN",
        "App-Level Token, `xapp-…`, for Socket Mode",
        must="the App-Level Token (xapp-…), in Slack's app under Basic Information",
        shown="required by `serve`",
    )
    api_url: values.SlackAddress = setting(
        "SLACK_API_URL",
        "base of the Web API, for GovSlack and stand-ins",
        must="a web address such as https://slack.com/api/",
        default="https://slack.com/api/",
    )


class AtlasKeys(Model):
    """The variables of one API key or service account; a project's entry may name others."""

    public_key: values.Secret | None = setting(
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        "an API key, public part",
        must="the public part of an API key, in Atlas under Applications, API Keys",
        default=None,
        shown="key or service account",
    )
    private_key: values.Secret | None = setting(
        "MONGODB_ATLAS_PRIVATE_API_KEY",
        "its private part",
        must="the private part of the API key, without spaces: copy it again",
        default=None,
        shown="with the public part",
    )
    client_id: values.Secret | None = setting(
        "MONGODB_ATLAS_CLIENT_ID",
        "a service account instead of a key",
        must="the id of a service account (mdb_sa_id_…)",
        default=None,
        shown="key or service account",
    )
    client_secret: values.Secret | None = setting(
        "MONGODB_ATLAS_CLIENT_SECRET",
        "its secret",
        must="the secret of the service account (mdb_sa_sk_…), without spaces: copy it again",
        default=None,
        shown="with the client id",
    )


class AtlasSettings(Model):
    """Access to Atlas, the same for every project."""

    base_url: values.AtlasAddress = setting(
        "MONGODB_ATLAS_BASE_URL",
        "host of the API, for Atlas for Government and stand-ins",
        must="a web address such as https://cloud.mongodb.com",
        default="https://cloud.mongodb.com",
    )
    api_version: ApiVersion = setting(
        "MONGODB_ATLAS_API_VERSION",
        "`v2`, or `v1.0` for the older API",
        must="v2 or v1.0",
        default=ApiVersion.V2,
    )
    envelope: bool = setting(
        "MONGODB_ATLAS_ENVELOPE",
        "whether calls ask for an envelope, for gateways that hide statuses",
        must=values.FLAG,
        default=False,
    )


class ProcessSettings(Model):
    projects_file: str | None = setting(
        "BOT_PROJECTS_FILE",
        "TOML with several projects, or with more policy than the environment has (below)",
        must="the path of a TOML file",
        default=None,
        shown="–",
    )
    watch_interval: values.Interval = setting(
        "BOT_WATCH_INTERVAL",
        "seconds between two complete looks, 1 to 3600; between them the activity feed is read "
        "every few seconds and makes the watch look at once",
        must="a number of seconds from 1 to 3600",
        default=60,
    )
    database_url: values.DatabaseUrl = setting(
        "DATABASE_URL",
        "`sqlite:///path`, or `postgresql://user:password@host/name` with the extra `postgres`",
        must="sqlite:///path of a file or postgresql://user:password@host:port/name",
        default=SecretStr("sqlite:///cancel-restore.db"),
    )
    host: values.Host = setting(
        "HOST",
        "where health and metrics are served; the container sets `0.0.0.0`",
        must="an address or a name of this machine, without scheme and port, such as 127.0.0.1",
        default="127.0.0.1",
    )
    port: values.Port = setting(
        "PORT", "its port; 0 takes a free one", must="a whole number from 0 to 65535", default=3000
    )
    log_level: values.LogLevel = setting(
        "LOG_LEVEL",
        "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
        must="one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        default="INFO",
    )
    log_format: values.LogFormat | None = setting(
        "LOG_FORMAT",
        "`console` or `json`",
        must="console or json",
        default=None,
        shown="by terminal",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """A project with its credentials and its policies."""

    id: str  #: 24 lower-case hexadecimal digits
    name: str | None  #: as people type it; None: the one that Atlas has
    credentials: Credentials
    policies: Policies

    @property
    def label(self) -> str:
        """The name in sentences."""
        return self.name or self.id


class Settings(ProcessSettings):
    slack: SlackSettings | None  #: None where the caller needs none and none is set
    atlas: AtlasSettings
    projects: tuple[InstanceOf[ProjectSettings], ...]
    warnings: tuple[str, ...] = ()  #: sentences about variables without effect
    risks: tuple[str, ...] = ()  #: sentences about what `serve` does with these values

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """What no log may contain."""
        slack = (self.slack.bot_token, self.slack.app_token) if self.slack else ()
        url = make_url(self.database_url.get_secret_value())
        passwords = (url.password, url.query.get("password"), url.query.get("sslpassword"))
        return (
            *slack,
            *(project.credentials.secret for project in self.projects),
            *(SecretStr(text) for text in passwords if isinstance(text, str) and text),
        )
