"""Tells what is allowed but risky, for the log at start."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from bot.settings.model import ProjectSettings, Settings, SlackSettings

NOT_SLACKS = (
    "SLACK_SIGNING_SECRET does not look like Slack's, which have 32 hexadecimal digits: compare it "
    "with Basic Information."
)
_SIGNING = re.compile(r"[0-9a-f]{32}")


def warnings(settings: Settings) -> list[str]:
    """Return one sentence for each risk that `settings` takes."""
    addresses = (
        ("SLACK_API_URL", settings.slack.api_url),
        ("MONGODB_ATLAS_BASE_URL", settings.atlas.base_url),
    )
    return [
        *(f"{name} has no effect here: another setting replaces it." for name in settings.unused),
        *(f"{name} is no setting of the bot, so it has no effect." for name in settings.unknown),
        *_odd_signing_secret(settings.slack),
        *(
            f"{name} is plain http: what the bot sends there can be read and changed on the way."
            for name, url in addresses
            if _in_the_clear(url)
        ),
        *(f"{_called(p)}: {risk}" for p in settings.projects for risk in _risks(p)),
    ]


def _odd_signing_secret(slack: SlackSettings) -> list[str]:
    """Judge the one secret whose refusal nobody sees before people's commands fail."""
    secret = slack.signing_secret
    if slack.app_token or secret is None or _SIGNING.fullmatch(secret.get_secret_value()):
        return []
    return [NOT_SLACKS]


def _risks(project: ProjectSettings) -> list[str]:
    policy = project.policy
    risks = {
        "no approvals are needed: whoever may ask cancels alone (BOT_APPROVALS).": (
            policy.approvals == 0
        ),
        "every full member of the workspace may ask (BOT_REQUESTERS).": policy.requesters.everyone,
        "every full member of the workspace may approve (BOT_APPROVERS).": (
            policy.approvals > 0 and policy.approvers.everyone
        ),
        "the requester's own approval is enough (BOT_SELF_APPROVAL).": (
            policy.approvals == 1 and policy.self_approval
        ),
        "approvers are named, but no approvals are needed (BOT_APPROVALS).": (
            policy.approvals == 0 and policy.approvers != policy.requesters
        ),
        "the watch announces where its buttons do not work: name that channel in BOT_CHANNELS "
        "too (BOT_WATCH_CHANNEL).": bool(
            project.watch_channel
            and policy.channels
            and project.watch_channel not in policy.channels
        ),
    }
    return [sentence for sentence, holds in risks.items() if holds]


def _called(project: ProjectSettings) -> str:
    return f"Project {project.name or project.id}"


def _in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
