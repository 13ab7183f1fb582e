"""The names: which variable, or key of the projects file, holds which kind of value."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, SecretStr, ValidationError

from bot.atlas import ApiVersion
from bot.cancellation.policy import EVERYONE, People, Policy
from bot.settings import addresses, parsers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

MOST_APPROVALS = 5

BOT_TOKEN = parsers.token("xoxb-", "the Bot User OAuth Token, in Slack under OAuth & Permissions")
APP_TOKEN = parsers.token("xapp-", "the App-Level Token, in Slack under Basic Information")

Channel = Annotated[str | None, PlainValidator(parsers.channel)]
Flag = Annotated[bool, PlainValidator(parsers.flag)]
Variable = Annotated[str | None, PlainValidator(parsers.variable_name)]
Seconds = Annotated[timedelta, PlainValidator(parsers.seconds)]
Somebody = Annotated[People | None, PlainValidator(parsers.people)]


class LedgerVariables(BaseModel):
    """What whoever reads the ledger needs; each field is the variable's name in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=str.upper)

    database_url: Annotated[SecretStr, PlainValidator(addresses.database_url)] = SecretStr(
        "sqlite:///cancel-restore.db"
    )


class Variables(LedgerVariables):
    """What holds for the whole bot."""

    slack_bot_token: Annotated[SecretStr | None, PlainValidator(BOT_TOKEN)] = None
    slack_app_token: Annotated[SecretStr | None, PlainValidator(APP_TOKEN)] = None
    slack_signing_secret: Annotated[SecretStr | None, PlainValidator(parsers.signing_secret)] = None
    slack_api_url: Annotated[str, PlainValidator(addresses.slack_api_url)] = (
        "https://slack.com/api/"
    )
    mongodb_atlas_project_id: Annotated[str | None, PlainValidator(parsers.atlas_id)] = None
    mongodb_atlas_base_url: Annotated[str, PlainValidator(addresses.atlas_url)] = (
        "https://cloud.mongodb.com"
    )
    mongodb_atlas_api_version: Annotated[ApiVersion, PlainValidator(parsers.api_version)] = (
        ApiVersion.V2
    )
    mongodb_atlas_envelope: Flag = False
    bot_projects_file: Annotated[str | None, PlainValidator(parsers.text)] = None
    bot_watch_interval: Seconds = timedelta(seconds=60)
    host: Annotated[str, PlainValidator(addresses.host)] = "127.0.0.1"
    port: Annotated[int, PlainValidator(parsers.whole(0, addresses.MOST_PORT))] = 3000
    log_level: Annotated[str, PlainValidator(parsers.log_level)] = "INFO"
    log_format: Annotated[Literal["console", "json"] | None, PlainValidator(parsers.log_format)] = (
        None
    )
    otel_traces_exporter: Annotated[
        Literal["otlp", "console"] | None, PlainValidator(parsers.traces_exporter)
    ] = None
    otel_exporter_otlp_protocol: Annotated[str, PlainValidator(parsers.otlp_protocol)] = (
        parsers.OTLP_PROTOCOL
    )
    otel_exporter_otlp_endpoint: Annotated[str | None, PlainValidator(addresses.collector_url)] = (
        None
    )


class PolicySettings(BaseModel):
    """The rules of a project, by their keys in the projects file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requesters: Somebody = None
    approvals: Annotated[int, PlainValidator(parsers.whole(0, MOST_APPROVALS))] = 0
    approvers: Somebody = None
    self_approval: Flag = False
    approval_ttl: Seconds = timedelta(minutes=30)
    channels: Annotated[frozenset[str], PlainValidator(parsers.channels)] = frozenset()
    audit_channel: Channel = None
    require_reason: Annotated[bool | None, PlainValidator(parsers.flag)] = None
    confirm_by_typing: Flag = False
    watch_channel: Channel = None

    def policy(self) -> Policy:
        """Fill in what depends on another rule: the approvers, and whether a reason is wanted."""
        requesters = self.requesters or EVERYONE
        wants_reason = self.approvals > 0 if self.require_reason is None else self.require_reason
        return Policy(
            requesters=requesters,
            approvals=self.approvals,
            approvers=self.approvers or requesters,
            self_approval=self.self_approval,
            approval_ttl=self.approval_ttl,
            channels=self.channels,
            audit_channel=self.audit_channel,
            require_reason=wants_reason,
            confirm_by_typing=self.confirm_by_typing,
        )

    def over(self, defaults: PolicySettings) -> PolicySettings:
        """Return these rules where they are given, and `defaults` for the rest."""
        given = {name: getattr(self, name) for name in self.model_fields_set & set(RULES)}
        return defaults.model_copy(update=given)


RULES = tuple(PolicySettings.model_fields)


class DefaultRules(PolicySettings):
    """The rules of every project that does not say otherwise, each by its `BOT_` variable."""

    model_config = ConfigDict(extra="ignore", alias_generator=lambda name: f"BOT_{name.upper()}")


class ProjectEntry(PolicySettings):
    """One `[[projects]]` of the file; `…_env` keys name variables that hold a credential."""

    name: Annotated[str | None, PlainValidator(parsers.project_name)] = None
    id: Annotated[str | None, PlainValidator(parsers.atlas_id)] = None
    public_key_env: Variable = None
    private_key_env: Variable = None
    client_id_env: Variable = None
    client_secret_env: Variable = None


Model = TypeVar("Model", bound=BaseModel)


def read(
    model: type[Model], given: Mapping[str, Any], label: Callable[[str], str], problems: list[str]
) -> Model:
    """Build `model` of what is right in `given`; the rest adds sentences to `problems`.

    Args:
        model: a model whose fields all have defaults.
        given: values by the names that people use.
        label: makes such a name the subject of a sentence.
        problems: where the sentences go.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = {str(e["loc"][0]): e for e in error.errors(include_url=False, include_input=False)}
    problems.extend(f"{label(name)} {_what(e, model)}" for name, e in wrong.items())
    return model.model_validate({k: v for k, v in given.items() if k not in wrong})


def _what(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Say what is wrong with a value in words; the value itself is never repeated."""
    if error["type"] == "extra_forbidden":
        return f"is not a key that is known here; these are: {', '.join(model.model_fields)}"
    return str(error.get("ctx", {}).get("error", error["msg"]))
