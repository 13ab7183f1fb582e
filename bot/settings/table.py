"""Prints all settings as one table: `python -m bot.settings.table`, for docs/settings.md.

What each is for stands here; which there are, and their defaults, come from the models.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from bot.settings.credentials import DEFAULT_VARIABLES
from bot.settings.variables import DefaultRules, Variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What each variable is for, in the order in which people fill them in.
MEANINGS: Final[Mapping[str, str]] = {
    "SLACK_BOT_TOKEN": "Bot User OAuth Token, `xoxb-…`",
    "SLACK_APP_TOKEN": "App-Level Token, `xapp-…`; with it the bot uses Socket Mode",
    "SLACK_SIGNING_SECRET": "for HTTP mode, used when there is no app token",
    "SLACK_API_URL": "base of Slack's Web API, for GovSlack and stand-ins",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "an API key, public part",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "its private part",
    "MONGODB_ATLAS_CLIENT_ID": "a service account instead of a key",
    "MONGODB_ATLAS_CLIENT_SECRET": "its secret",
    "MONGODB_ATLAS_PROJECT_ID": "the project (group) id, 24 hexadecimal digits",
    "MONGODB_ATLAS_BASE_URL": "host of the API, for Atlas for Government and gateways",
    "MONGODB_ATLAS_API_VERSION": "`v2`, or `v1.0` for the older API",
    "MONGODB_ATLAS_ENVELOPE": (
        "ask for enveloped answers, where a gateway hides statuses or headers"
    ),
    "BOT_PROJECTS_FILE": "several projects, in TOML (below)",
    "BOT_REQUESTERS": "who may ask: users and user groups, or `*` for every full member",
    "BOT_APPROVALS": "how many other people must approve, 0 to 5",
    "BOT_APPROVERS": "who may approve and deny",
    "BOT_SELF_APPROVAL": "whether the requester's own approval counts",
    "BOT_APPROVAL_TTL": "seconds that a request waits for approval",
    "BOT_CHANNELS": "channels in which the command works",
    "BOT_AUDIT_CHANNEL": "every card goes to this channel",
    "BOT_REQUIRE_REASON": "whether a reason must be given",
    "BOT_CONFIRM_BY_TYPING": "whether the cluster's name must be typed to confirm",
    "BOT_WATCH_CHANNEL": "the channel in which new download restore jobs are announced",
    "BOT_WATCH_INTERVAL": "seconds between two looks for them",
    "DATABASE_URL": (
        "`sqlite:///path`, or `postgresql://user:password@host/name` with the extra `postgres`"
    ),
    "HOST": "where the HTTP side listens; the container sets `0.0.0.0`",
    "PORT": "its port",
    "LOG_LEVEL": "`DEBUG` (with what people type), `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
    "LOG_FORMAT": "`console` or `json`",
    "OTEL_TRACES_EXPORTER": (
        "where spans go: `otlp` to a collector, `console` to standard output (the extra `otel`)"
    ),
    "OTEL_EXPORTER_OTLP_PROTOCOL": "the protocol of the collector; there is no other here",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "the collector's address, without `/v1/traces`",
}

#: What holds where a variable without a default of its own is not set.
OTHERWISE: Final[Mapping[str, str]] = {
    "SLACK_BOT_TOKEN": "required",
    "SLACK_APP_TOKEN": "one of these two",
    "SLACK_SIGNING_SECRET": "one of these two",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "key or service account",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "with the public part",
    "MONGODB_ATLAS_CLIENT_ID": "key or service account",
    "MONGODB_ATLAS_CLIENT_SECRET": "with the client id",
    "MONGODB_ATLAS_PROJECT_ID": "required without a projects file",
    "BOT_PROJECTS_FILE": "none",
    "BOT_REQUESTERS": "`*`",
    "BOT_APPROVERS": "the requesters",
    "BOT_CHANNELS": "everywhere",
    "BOT_AUDIT_CHANNEL": "the command's channel",
    "BOT_REQUIRE_REASON": "`true` with approvals, else `false`",
    "BOT_WATCH_CHANNEL": "none",
    "LOG_FORMAT": "by terminal",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "`http://localhost:4318`",
}


def defaults() -> dict[str, object]:
    """Return every variable that is read, with its default; None and an empty set are none."""
    fields = (f for model in (Variables, DefaultRules) for f in model.model_fields.values())
    found: dict[str, object] = {str(field.alias): field.default for field in fields}
    return found | dict.fromkeys(DEFAULT_VARIABLES.values())


def as_typed(default: object) -> str:
    """Write a default as a person would type it."""
    match default:
        case SecretStr():
            return default.get_secret_value()
        case bool():
            return str(default).lower()
        case timedelta():
            return f"{default.total_seconds():.0f}"
        case Enum():
            return str(default.value)
    return str(default)


def lines() -> Iterator[str]:
    """Give the table in Markdown; raises `ValueError` for a variable that nobody explained."""
    real = defaults()
    yield "| variable | meaning | default |"
    yield "|---|---|---|"
    for name in sorted(real, key=list(MEANINGS).index):
        has_one = real[name] not in (None, frozenset())
        default = f"`{as_typed(real[name])}`" if has_one else OTHERWISE[name]
        yield f"| `{name}` | {MEANINGS[name]} | {default} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
