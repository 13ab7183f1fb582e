"""Runs all checks; checks of different services run concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from bot.doctor.atlas import check_project
from bot.doctor.database import SUBJECT as DATABASE
from bot.doctor.database import check_database
from bot.doctor.results import CheckResult, Subject, all_within, within
from bot.doctor.slack import BOT_TOKEN, check_slack
from bot.settings import Settings, warnings
from bot.web.server import PortTaken, WebError, WebServer

#: Seconds for everything about one service; the checks in it have shorter limits of their own.
SERVICE_TIMEOUT = 60.0

PORT = Subject("http", "HOST, PORT")
ATLAS = Subject("atlas", "MONGODB_ATLAS_BASE_URL")
RISK = Subject("settings", "settings")
CHANGE = "Change the setting, if that is not meant."


def wall_clock() -> datetime:
    return datetime.now(UTC)


async def run_checks(
    settings: Settings, *, now: Callable[[], datetime] = wall_clock
) -> list[CheckResult]:
    """Check everything that `settings` need; nothing is changed anywhere.

    Args:
        settings: as the bot would be started with.
        now: the time by this machine, with its zone.
    """
    url = settings.database_url.get_secret_value()
    parts = await asyncio.gather(
        all_within(BOT_TOKEN, check_slack(settings, now), SERVICE_TIMEOUT),
        *(
            all_within(ATLAS, check_project(settings, project, now), SERVICE_TIMEOUT)
            for project in settings.projects
        ),
        _one(within(DATABASE, check_database(url))),
        _one(within(PORT, check_port(settings.host, settings.port))),
    )
    risks = [RISK.warning(risk, CHANGE) for risk in warnings(settings)]
    return [*dict.fromkeys(result for part in parts for result in part), *risks]


async def _one(checking: Coroutine[Any, Any, CheckResult]) -> list[CheckResult]:
    return [await checking]


async def check_port(host: str, port: int) -> CheckResult:
    """Listen for a moment, without anything to serve."""
    server = WebServer(host, port, web.Application(), grace=0)
    try:
        await server.start()
    except PortTaken:
        return PORT.warning(
            f"port {port} of {host} is in use",
            "Nothing, if it is this bot that runs already; else set PORT to another.",
        )
    except WebError as error:
        return PORT.problem(str(error), "Set HOST to an address of this machine.")
    await server.stop()
    return PORT.ok(f"the bot can listen on {host}, port {port}")
