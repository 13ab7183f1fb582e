"""Warnings about settings that are valid but risky, for the log of the start and `doctor`."""

import re
from collections.abc import Iterator, Sequence

from bot.cancellation.people import NO_ONE
from bot.settings.addresses import is_plain_http
from bot.settings.model import Settings
from bot.settings.policy import PolicyHolder

_SIGNING_SECRET = re.compile(r"[0-9a-f]{32}")


def warnings(settings: Settings) -> list[str]:
    """Return one sentence for each risk of `settings`."""
    return [
        *settings.risks,
        *_service_warnings(settings),
        *_project_warnings(settings.policy_holders),
        *_quarantine_warnings(settings),
    ]


def _service_warnings(settings: Settings) -> Iterator[str]:
    """Check addresses, and the signing secret's form: Slack cannot be asked whether it is right."""
    slack = settings.slack
    secret = None if slack.app_token else slack.signing_secret
    if secret and not _SIGNING_SECRET.fullmatch(secret.get_secret_value()):
        yield (
            "SLACK_SIGNING_SECRET does not have the 32 hexadecimal digits of Slack's signing "
            "secrets: compare it with Basic Information."
        )
    addresses = {"SLACK_API_URL": slack.api_url, "MONGODB_ATLAS_BASE_URL": settings.atlas.base_url}
    for name, url in addresses.items():
        if is_plain_http(url):
            yield f"{name} is plain http: requests can be read and changed on the way."


SHORTEST_WAIT = 150  #: seconds between the start of a download and its link, at least
#: Seconds that a cancellation may need, with the delivery of the announcement before it.
LEAST_LEFT = 30


def _quarantine_warnings(settings: Settings) -> Iterator[str]:
    """Name the projects whose quarantined downloads may have their link before they end."""
    interval = round(min(settings.events_interval, settings.watch_interval).total_seconds())
    for project in settings.policy_holders:
        quarantine = project.policy.quarantine
        grace = round(quarantine.grace.total_seconds())
        left = SHORTEST_WAIT - interval - grace
        if quarantine.is_on and left < LEAST_LEFT:
            yield (
                f"Project {project.label}: a look each {interval} s and "
                f"BOT_QUARANTINE_GRACE ({grace} s) leave {left} s of the {SHORTEST_WAIT} s until "
                f"a link is live: the download may be used before the bot cancels it. "
                f"At least {LEAST_LEFT} s should be left."
            )


def _risks(project: PolicyHolder) -> Iterator[str]:
    policy, watch_channel = project.policy, project.watch_channel
    if policy.read_only:
        if not watch_channel:
            yield "the bot only watches, and no channel is set (BOT_WATCH_CHANNEL)."
        return
    if policy.approvals == 0:
        yield "no approvals are needed: each requester cancels alone (BOT_APPROVALS)."
    if policy.requesters.everyone:
        yield "every full member of the workspace may ask (BOT_REQUESTERS)."
    if policy.approvals > 0 and policy.approvers.everyone:
        yield "every full member of the workspace may approve (BOT_APPROVERS)."
    if policy.approvals == 1 and policy.self_approval:
        yield "the requester's own approval is enough (BOT_SELF_APPROVAL)."
    if policy.approvals == 0 and policy.approvers != policy.requesters:
        yield "approvers are named, but no approvals are needed (BOT_APPROVALS)."
    if policy.approvals == 0 and policy.break_glass != NO_ONE:
        yield "people may act alone, but no approvals are needed (BOT_BREAK_GLASS, BOT_APPROVALS)."
    if watch_channel and policy.channels and watch_channel not in policy.channels:
        yield (
            "the buttons of announcements do not work in the watch channel: add it to "
            "BOT_CHANNELS (BOT_WATCH_CHANNEL)."
        )


def _project_warnings(projects: Sequence[PolicyHolder]) -> list[str]:
    """Return each risk once, with the projects that have it."""
    names: dict[str, list[str]] = {}
    for project in projects:
        for risk in _risks(project):
            names.setdefault(risk, []).append(project.label)
    return [
        f"{'Project' if len(having) == 1 else 'Projects'} {', '.join(having)}: {risk}"
        for risk, having in names.items()
    ]
