"""Runs all checks, those of different services concurrently."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from aiohttp import web

from bot.doctor.atlas import check_project
from bot.doctor.audit_webhook import SUBJECT as WEBHOOK
from bot.doctor.audit_webhook import check_audit_webhook
from bot.doctor.database import SUBJECT as DATABASE
from bot.doctor.database import check_database
from bot.doctor.results import CheckResult, Subject, all_within, within
from bot.doctor.slack import BOT_TOKEN, check_slack
from bot.settings import ProjectSettings, Settings, warnings
from bot.web.server import PortTaken, WebError, WebServer

#: Seconds for everything about one service; the checks in it have shorter limits of their own.
SERVICE_TIMEOUT = 60.0

PORT = Subject("http", "HOST, PORT")
ATLAS = Subject("atlas", "MONGODB_ATLAS_BASE_URL")
SETTINGS = Subject("settings", "settings")

#: The checks of Atlas that concern each project alike.
COMMON_CHECKS = frozenset({"atlas", "atlas_credentials", "atlas_version", "clock"})

#: The result in place of the checks of Slack, where no setting of Slack is given.
NO_SLACK = replace(
    Subject("slack", "Slack").warning(
        "it is not set up yet; list, show and cancel on the command line do not need it",
        "For serve: create the app from the output of `cancel-restore manifest`, then set "
        "SLACK_BOT_TOKEN and SLACK_APP_TOKEN.",
    ),
    group="Slack",
)


def wall_clock() -> datetime:
    return datetime.now(UTC)


async def run_checks(
    settings: Settings, *, now: Callable[[], datetime] = wall_clock, with_slack: bool = True
) -> list[CheckResult]:
    """Check everything that `settings` need; nothing is changed, a webhook gets a test event."""
    url = settings.database_url.get_secret_value()
    hook = settings.audit_webhook
    slack, database, webhook, port, *projects = await asyncio.gather(
        all_within(BOT_TOKEN, check_slack(settings, now), SERVICE_TIMEOUT)
        if with_slack
        else _nothing(),
        _one(within(DATABASE, check_database(url))),
        _one(within(WEBHOOK, check_audit_webhook(hook))) if hook else _nothing(),
        _one(within(PORT, check_port(settings.host, settings.port))),
        *(_check_project(settings, project, now) for project in settings.projects),
    )
    hint = "Change the setting if this is not intended."
    risks = [SETTINGS.warning(risk, hint) for risk in warnings(settings)]
    parts = {
        "Slack": slack,
        "Atlas": [each for part in projects for each in part if not each.group],
        "Database": database,
        "HTTP": [*webhook, *port],
        "": [each for part in projects for each in part if each.group],
        "Settings": risks,
    }
    grouped = (replace(r, group=r.group or group) for group, part in parts.items() for r in part)
    return [*dict.fromkeys(grouped)]


async def _check_project(
    settings: Settings, project: ProjectSettings, now: Callable[[], datetime]
) -> list[CheckResult]:
    """Check one project; results that concern each project alike have no group."""
    checking = check_project(settings, project, now)
    group = f"Project {project.label}"
    return [
        result if result.check in COMMON_CHECKS else replace(result, group=group)
        for result in await all_within(ATLAS, checking, SERVICE_TIMEOUT)
    ]


async def _nothing() -> list[CheckResult]:
    return []


async def _one(checking: Awaitable[CheckResult]) -> list[CheckResult]:
    return [await checking]


async def check_port(host: str, port: int) -> CheckResult:
    """Listen on the port and close it."""
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


def settings_results(problems: Iterable[str]) -> list[CheckResult]:
    """Return the errors of the settings as results; each names the fix."""
    return [replace(SETTINGS.problem(problem, ""), group="Settings") for problem in problems]
