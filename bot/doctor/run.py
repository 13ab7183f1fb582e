"""Runs all checks, those of different services concurrently."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain

from aiohttp import web

from bot.cancellation.cluster_entries import unused_entries
from bot.doctor.atlas import check_organizations, check_project
from bot.doctor.database import SUBJECT as DATABASE
from bot.doctor.database import check_database
from bot.doctor.results import CheckResult, Subject, within
from bot.doctor.slack import BOT_TOKEN, check_slack
from bot.services.rate_limit import round_seconds
from bot.settings import AuditWebhookSettings, ProjectSettings, Settings, warnings
from bot.storage.database import wall_clock
from bot.timings import DEFAULT_TIMINGS
from bot.web.server import PortTaken, WebError, WebServer

#: Seconds for everything about one service; the checks in it have shorter limits of their own.
SERVICE_TIMEOUT = 60.0
PORT = Subject("http", "HOST, PORT", "HTTP")
WATCH = Subject("watch", "watch", "Atlas")
ATLAS = Subject("atlas", "MONGODB_ATLAS_BASE_URL", "Atlas")
SETTINGS = Subject("settings", "settings", "Settings")
WEBHOOK = Subject("audit_webhook", "BOT_AUDIT_WEBHOOK_URL", "HTTP")
#: The groups of results by their first word, in the order of the report.
GROUPS = ("Slack", "Atlas", "Database", "HTTP", "Project", "Settings")

#: The result in place of the checks of Slack, where no setting of Slack is given.
NO_SLACK = Subject("slack", "Slack", "Slack").warning(
    "it is not set up yet; list, show and cancel on the command line do not need it",
    "For serve: create the app from the output of `cancel-restore manifest`, then set "
    "SLACK_BOT_TOKEN and SLACK_APP_TOKEN.",
)


async def run_checks(
    settings: Settings,
    *,
    now: Callable[[], datetime] = wall_clock,
    found: Sequence[CheckResult] = (),
) -> list[CheckResult]:
    """Check everything that `settings` need; nothing is changed, a webhook gets a test event.

    With results `found` already, which say why it cannot be used, Slack is not checked.
    """
    checks = [
        within(DATABASE, check_database(settings.database_url.get_secret_value())),
        within(PORT, check_port(settings.host, settings.port)),
    ]
    organizations, selected = await check_organizations(settings)
    clusters: dict[str, Sequence[str]] = {}
    for project in selected:
        checking = check_project(settings, project, now, clusters)
        checks.append(within(ATLAS, checking, SERVICE_TIMEOUT))
    if not found:
        checks.append(within(BOT_TOKEN, check_slack(settings, now), SERVICE_TIMEOUT))
    if settings.audit_webhook:
        checks.append(within(WEBHOOK, check_audit_webhook(settings.audit_webhook)))
    checked = chain.from_iterable(await asyncio.gather(*checks))
    entries = ((each.label, each.policies, clusters.get(each.id)) for each in selected)
    risks = settings_risks([*warnings(settings), *unused_entries(entries)])
    watched = [each.id for each in selected if any(p.is_watched for p in each.policies.all)]
    counts = {each: len(clusters[each]) for each in watched if clusters.get(each)}
    rounds = check_round(settings, counts)
    unwatched = not_watched(selected, clusters)
    results = [*found, *checked, *organizations, *rounds, *unwatched, *risks]
    # A result that all projects share is kept once.
    return sorted(dict.fromkeys(results), key=lambda each: GROUPS.index(each.group.split()[0]))


def check_round(settings: Settings, counts: Mapping[str, int]) -> list[CheckResult]:
    """Say how long the watch takes to read all clusters once, by its limits."""
    if not counts:
        return []
    interval, events = settings.watch_interval, settings.events_interval
    seconds = round_seconds(
        [*counts.values()], interval.total_seconds(), events.total_seconds(), DEFAULT_TIMINGS
    )
    noun = "project" if len(counts) == 1 else "projects"
    what = f"{sum(counts.values())} clusters in {len(counts)} {noun}"
    return [WATCH.ok(f"it reads {what} once in {seconds:.0f} s, and sooner after an event")]


def not_watched(
    projects: Iterable[ProjectSettings], clusters: Mapping[str, Sequence[str]]
) -> list[CheckResult]:
    """Name the projects, and the clusters of others, whose downloads are not on record."""
    places: list[str] = []
    for project in projects:
        names = [
            name
            for name in clusters.get(project.id, ())
            if not project.policies.of(name).is_watched
        ]
        if not any(policy.is_watched for policy in project.policies.all):
            places.append(project.label)
        elif names:
            places.append(f"{', '.join(names)} of {project.label}")
    what = "; ".join(places)
    return [WATCH.ok(f"it does not watch {what}: no watch channel is set")] if places else []


async def check_port(host: str, port: int) -> CheckResult:
    server = WebServer(host, port, web.Application(), grace=0)
    try:
        await server.start()
    except PortTaken:
        return PORT.warning(
            f"port {port} of {host} is in use",
            "Set PORT to another, unless it is this bot that is running.",
        )
    except WebError as error:
        return PORT.problem(str(error), "Set HOST to an address of this machine.")
    await server.stop()
    return PORT.ok(f"the bot can listen on {host}, port {port}")


async def check_audit_webhook(settings: AuditWebhookSettings) -> CheckResult:
    """Post a test event; only the receiver can say whether the secret is right."""
    # Loading the libraries takes 40 ms, which most bots save.
    from bot.webhook import WebhookClient, ping  # noqa: PLC0415 - see above

    client = WebhookClient(settings.url, settings.secret)
    event = ping(wall_clock())
    try:
        problem = await client.post(event)
    finally:
        await client.aclose()
    if problem:
        return WEBHOOK.problem(
            f"the receiver does not take a test event: {problem}",
            "Check the address, that the receiver runs and answers 2xx, and that it has the same "
            "BOT_AUDIT_WEBHOOK_SECRET; events wait in the database until then.",
        )
    return WEBHOOK.ok(f"the receiver took a signed test event ({event.get_type()})")


def settings_risks(risks: Iterable[str]) -> list[CheckResult]:
    hint = "Change the setting if this is not intended."
    return [SETTINGS.warning(risk, hint) for risk in risks]


def settings_results(problems: Iterable[str]) -> list[CheckResult]:
    """Return the errors of the settings as results; each names the fix."""
    return [SETTINGS.problem(problem, "") for problem in problems]
