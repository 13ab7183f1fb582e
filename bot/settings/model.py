"""The settings as frozen pydantic models: names, parsers, defaults and the text of the docs."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import ConfigDict, SecretStr
from pydantic import PlainValidator as Parser
from sqlalchemy.engine import make_url

from bot.atlas import ApiVersion
from bot.settings import addresses, parsers
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
    api_url: Annotated[str, Parser(addresses.slack_api_url)] = setting(
        "base of Slack's Web API, for GovSlack and test servers", default="https://slack.com/api/"
    )


class AtlasSettings(Model):
    """Access to Atlas, the same for every project."""

    model_config = ConfigDict(alias_generator=lambda name: f"MONGODB_ATLAS_{name.upper()}")

    project_id: Annotated[str | None, Parser(parsers.atlas_id)] = setting(
        "the project (group) id, 24 hexadecimal digits", shown="required without a projects file"
    )
    base_url: Annotated[str, Parser(addresses.atlas_url)] = setting(
        "host of the API, for Atlas for Government and gateways",
        default="https://cloud.mongodb.com",
    )
    api_version: Annotated[ApiVersion, Parser(parsers.api_version)] = setting(
        "`v2`, or `v1.0` for the older API, whose list of clusters may end on 2027-07-01",
        default=ApiVersion.V2,
    )
    envelope: Flag = setting(
        "ask for enveloped answers, where a gateway hides statuses or headers", default=False
    )


class AuditWebhookSettings(Model):
    model_config = ConfigDict(alias_generator=lambda name: f"BOT_AUDIT_WEBHOOK_{name.upper()}")

    url: Annotated[SecretStr, Parser(addresses.webhook_url)] = setting(
        "every event of the audit log is posted there ([audit-webhook](audit-webhook.md))",
        default=SecretStr(""),
        shown="none",
    )
    secret: Annotated[SecretStr, Parser(addresses.webhook_secret)] = setting(
        "signs the posts, `whsec_…`", default=SecretStr(""), shown="with the address"
    )


class Settings(Model):
    slack: SlackSettings = SlackSettings()
    atlas: AtlasSettings = AtlasSettings()
    projects: tuple[ProjectSettings, ...] = ()
    organizations: tuple[OrganizationSettings, ...] = ()
    audit_webhook: AuditWebhookSettings | None = None
    risks: tuple[str, ...] = ()  #: what was found where the settings come from; sentences

    database_url: Annotated[SecretStr, Parser(addresses.database_url)] = setting(
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
    command: Annotated[str, Parser(parsers.slash_command)] = setting(
        "the slash command of this deployment, where a workspace has several bots; "
        "`cancel-restore manifest --command` writes it",
        default="/cancel-restore",
        alias="BOT_COMMAND",
    )
    label: Annotated[str | None, Parser(parsers.label)] = setting(
        "a word on every card, announcement and Home tab, such as `EU production`",
        alias="BOT_LABEL",
        shown="none",
    )
    projects_file: Annotated[str | None, Parser(parsers.text)] = setting(
        "several projects, in TOML (below)", alias="BOT_PROJECTS_FILE", shown="none"
    )
    host: Annotated[str, Parser(addresses.host)] = setting(
        "where the HTTP side listens; the container sets `0.0.0.0`",
        default="127.0.0.1",
        alias="HOST",
    )
    #: 0 takes a free port.
    port: Annotated[int, Parser(parsers.whole(0, parsers.MAX_PORT))] = setting(
        "its port", default=3000, alias="PORT"
    )
    log_level: Annotated[str, Parser(parsers.log_level)] = setting(
        "`DEBUG` (with what people type), `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
        default="INFO",
        alias="LOG_LEVEL",
    )
    log_format: Annotated[Literal["console", "json"] | None, Parser(parsers.log_format)] = setting(
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
