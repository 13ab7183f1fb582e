"""The settings as frozen pydantic models: names, parsers, defaults and the text of the docs."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias
from urllib.parse import unquote

from pydantic import ConfigDict, SecretStr
from pydantic import PlainValidator as Parser
from sqlalchemy.engine import make_url

from bot.atlas import ApiVersion, DigestKey, ServiceAccount
from bot.cancellation.people import EVERYONE, NO_ONE, People
from bot.cancellation.policy import REMIND_AFTER, Policy
from bot.cancellation.quarantine import NO_QUARANTINE, Mode, QuarantinePolicy
from bot.settings import addresses, parsers
from bot.settings.base import Model, parser, setting
from bot.settings.holders import OrganizationSettings, PolicyHolder, ProjectSettings

LogFormat: TypeAlias = Literal["console", "json"]
SpanExporter: TypeAlias = Literal["otlp", "console"]

BOT_TOKEN = parsers.token("xoxb-", "the Bot User OAuth Token, in Slack under OAuth & Permissions")
APP_TOKEN = parsers.token("xapp-", "the App-Level Token, in Slack under Basic Information")

Flag = Annotated[bool, parser(parsers.flag, bool)]
FlagOrNone = Annotated[bool | None, parser(parsers.flag, bool)]
Seconds = Annotated[timedelta, parser(parsers.seconds, parsers.SecondsInput)]
Reminders = Annotated[tuple[timedelta, ...], parser(parsers.reminders, parsers.RemindersInput)]
NamedPeople = Annotated[People, parser(parsers.named_people, parsers.NamedPeopleInput)]
Approvals = Annotated[int, parser(parsers.whole(0, parsers.MAX_APPROVALS), parsers.ApprovalsInput)]
Channels = Annotated[frozenset[str], parser(parsers.channels, parsers.ChannelsInput)]
Channel = Annotated[str | None, parser(parsers.channel, parsers.ChannelInput)]
PeopleOrNone = Annotated[People | None, parser(parsers.people, parsers.PeopleInput)]
Count = Annotated[int, parser(parsers.whole(0, parsers.MAX_COUNT), parsers.CountInput)]
QuarantineMode = Annotated[Mode, parser(parsers.quarantine_mode, parsers.QuarantineModeInput)]
Starters = Annotated[frozenset[str], parser(parsers.starters, parsers.StartersInput)]


class SlackSettings(Model):
    """Access to Slack."""

    model_config = ConfigDict(alias_generator=lambda name: f"SLACK_{name.upper()}")

    bot_token: Annotated[SecretStr, Parser(BOT_TOKEN)] = setting(
        "Bot User OAuth Token, `xoxb-…`", default=SecretStr(""), shown="required"
    )
    app_token: Annotated[SecretStr | None, Parser(APP_TOKEN)] = setting(
        "App-Level Token, `xapp-…`; with it the bot uses Socket Mode", shown="one of these two"
    )
    signing_secret: Annotated[SecretStr | None, Parser(parsers.signing_secret)] = setting(
        "for HTTP mode, used when there is no app token", shown="one of these two"
    )
    api_url: Annotated[str, Parser(addresses.slack_api_url)] = setting(
        "base of Slack's Web API, for GovSlack and stand-ins", default="https://slack.com/api/"
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
        "`v2`, or `v1.0` for the older API", default=ApiVersion.V2
    )
    envelope: Flag = setting(
        "ask for enveloped answers, where a gateway hides statuses or headers", default=False
    )


class PolicySettings(Model):
    """The policy of a project, by the keys of the projects file."""

    requesters: PeopleOrNone = setting(
        "who may ask: users and user groups, or `*` for every full member of the workspace",
        shown="`*`",
    )
    approvals: Approvals = setting("how many other people must approve, 0 to 5", default=0)
    approvers: PeopleOrNone = setting("who may approve and deny", shown="the requesters")
    self_approval: Flag = setting("whether the requester's own approval counts", default=False)
    approval_ttl: Seconds = setting(
        "seconds that a request waits for approval", default=timedelta(minutes=30)
    )
    channels: Channels = setting(
        "channels in which the command works", default=frozenset(), shown="everywhere"
    )
    audit_channel: Channel = setting(
        "every card goes to this channel", shown="the command's channel"
    )
    require_reason: FlagOrNone = setting(
        "whether a reason must be given", shown="`true` with approvals, else `false`"
    )
    confirm_by_typing: Flag = setting(
        "whether the cluster's name must be typed to confirm", default=False
    )
    break_glass: NamedPeople = setting(
        "who may cancel without the required approvals, with a reason; an approver reviews it",
        default=NO_ONE,
        shown="no one",
    )
    read_only: Flag = setting(
        "only watch: announce and explain, and never cancel ([atlas](atlas.md#watch-only))",
        default=False,
    )
    notify_approvers: Flag = setting(
        "whether named approvers and members of their groups get the card as a direct message",
        default=True,
    )
    remind_after: Reminders = setting(
        "seconds after which a waiting request reminds its approvers; `0` never",
        default=REMIND_AFTER,
        shown="`60,180,600`",
    )
    escalate_to: NamedPeople = setting(
        "who may approve too, and is told only at the last reminder",
        default=NO_ONE,
        shown="no one",
    )
    watch_channel: Channel = setting(
        "the channel in which new download restore jobs are announced", shown="none"
    )
    quarantine: QuarantineMode = setting(
        "a new download that no approver keeps: `off`; `observe` says what would have been "
        "cancelled; with `enforce` the bot cancels it",
        default=NO_QUARANTINE.mode,
    )
    quarantine_grace: Seconds = setting(
        "seconds in which an approver may keep it", default=NO_QUARANTINE.grace
    )
    quarantine_expected: Starters = setting(
        "who may download without being asked: Atlas user names, public keys, service-account ids",
        default=frozenset(),
        shown="no one",
    )
    quarantine_limit: Count = setting(
        "how many downloads of a project the bot itself cancels within an hour",
        default=NO_QUARANTINE.limit,
    )

    def policy(self) -> Policy:
        """Return the policy; defaults of `approvers` and `require_reason` depend on other rules."""
        requesters = self.requesters or EVERYONE
        approvers = self.approvers or requesters
        is_required = self.approvals > 0 if self.require_reason is None else self.require_reason
        is_enforced = self.quarantine is Mode.ENFORCE
        return Policy(
            requesters=requesters,
            approvals=self.approvals,
            approvers=approvers | self.escalate_to,
            approvers_named=self.approvers not in {None, EVERYONE},
            self_approval=self.self_approval,
            approval_ttl=self.approval_ttl,
            channels=self.channels,
            audit_channel=self.audit_channel,
            require_reason=is_required,
            confirm_by_typing=self.confirm_by_typing,
            break_glass=self.break_glass,
            read_only=self.read_only,
            notify_approvers=self.notify_approvers,
            remind_after=self.remind_after,
            escalate_to=self.escalate_to - approvers,
            quarantine=QuarantinePolicy(
                mode=Mode.OBSERVE if self.read_only and is_enforced else self.quarantine,
                grace=self.quarantine_grace,
                expected=self.quarantine_expected,
                limit=self.quarantine_limit,
            ),
        )


POLICY_KEYS = tuple(PolicySettings.model_fields)


class DefaultPolicy(PolicySettings):
    """The policy of every project that has no other, by the `BOT_` variables."""

    model_config = ConfigDict(alias_generator=lambda name: f"BOT_{name.upper()}")


class AuditWebhookSettings(Model):
    """Where every event of the audit log is posted, and the secret that signs it."""

    model_config = ConfigDict(alias_generator=lambda name: f"BOT_AUDIT_WEBHOOK_{name.upper()}")

    url: Annotated[SecretStr, Parser(addresses.webhook_url)] = setting(
        "every event of the audit log is posted there ([audit-webhook](audit-webhook.md))",
        default=SecretStr(""),
        shown="none",
    )
    secret: Annotated[SecretStr, Parser(addresses.webhook_secret)] = setting(
        "signs the posts, `whsec_…`", default=SecretStr(""), shown="with the address"
    )


class TracingSettings(Model):
    """Export of spans."""

    exporter: Annotated[SpanExporter | None, Parser(parsers.traces_exporter)] = setting(
        "where spans go: `otlp` to a collector, `console` to standard output (the extra `otel`)",
        alias="OTEL_TRACES_EXPORTER",
        shown="none",
    )
    protocol: Annotated[str, Parser(parsers.otlp_protocol)] = setting(
        "the protocol of the collector; the only one that is supported",
        default=parsers.OTLP_PROTOCOL,
        alias="OTEL_EXPORTER_OTLP_PROTOCOL",
    )
    endpoint: Annotated[str | None, Parser(addresses.collector_url)] = setting(
        "the collector's address, without `/v1/traces`",
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        shown="`http://localhost:4318`",
    )
    #: Every `OTEL_…` variable, for the SDK that reads them; headers are secret.
    variables: Mapping[str, SecretStr] = {}

    @property
    def secrets(self) -> Iterator[SecretStr]:
        """The values in `…_HEADERS` variables, which are URL-encoded `key=value` pairs."""
        headers = (v for name, v in self.variables.items() if name.endswith("_HEADERS"))
        for pair in ",".join(header.get_secret_value() for header in headers).split(","):
            # A text that is not a pair may be a key without a name.
            value = unquote(pair.partition("=")[2].strip() or pair.strip())
            # The token of `Authorization: Bearer token` is also a secret alone.
            yield from (SecretStr(text) for text in {value, value.rpartition(" ")[2]} if text)


class DatabaseSettings(Model):
    """The database, for commands that need nothing else."""

    database_url: Annotated[SecretStr, Parser(parsers.database_url)] = setting(
        "`sqlite:///path`, or `postgresql://user:password@host/name` with the extra `postgres`",
        default=SecretStr("sqlite:///cancel-restore.db"),
        alias="DATABASE_URL",
    )


class Settings(DatabaseSettings):
    """All settings."""

    slack: SlackSettings = SlackSettings()
    atlas: AtlasSettings = AtlasSettings()
    projects: tuple[ProjectSettings, ...] = ()
    organizations: tuple[OrganizationSettings, ...] = ()
    tracing: TracingSettings | None = None
    audit_webhook: AuditWebhookSettings | None = None
    unused: tuple[str, ...] = ()  #: variables that another one replaces
    #: Who else may read or write `.env`, and the command that ends it.
    env_file_risk: str | None = None
    #: Unknown variables that begin with `BOT_`, with the most similar known one.
    unknown: tuple[str, ...] = ()

    watch_interval: Seconds = setting(
        "seconds between two reads of the jobs",
        default=timedelta(seconds=60),
        alias="BOT_WATCH_INTERVAL",
    )
    events_interval: Seconds = setting(
        "seconds between two reads of a project's activity feed; a restore request in it makes the "
        "watch read the project's jobs at once",
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
    log_format: Annotated[LogFormat | None, Parser(parsers.log_format)] = setting(
        "`console` or `json`", alias="LOG_FORMAT", shown="by terminal"
    )

    @property
    def policy_holders(self) -> tuple[PolicyHolder, ...]:
        """The projects and organizations."""
        return (*self.projects, *self.organizations)

    @property
    def socket_mode(self) -> bool:
        """Whether Socket Mode is used: it needs an app token."""
        return self.slack.app_token is not None

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret, for redaction."""
        slack = (self.slack.bot_token, self.slack.app_token, self.slack.signing_secret)
        url = make_url(self.database_url.get_secret_value())
        passwords = (url.password, *map(url.query.get, ("password", "sslpassword")))
        return (
            *(secret for secret in slack if secret is not None),
            *(_secret_of(project.credentials) for project in self.policy_holders),
            *(SecretStr(each) for each in passwords if isinstance(each, str) and each),
            *(self.tracing.secrets if self.tracing else ()),
            *((hook.url, hook.secret) if (hook := self.audit_webhook) else ()),
        )


def _secret_of(credentials: DigestKey | ServiceAccount) -> SecretStr:
    if isinstance(credentials, DigestKey):
        return credentials.private_key
    return credentials.client_secret
