"""Runs all checks, different services side by side, and writes the report."""

import asyncio
from datetime import UTC, datetime
from typing import TextIO

from bot.doctor.atlas import check_project
from bot.doctor.database import DATABASE, check_database
from bot.doctor.results import Result, is_ok, within, write_json, write_lines
from bot.doctor.slack import BOT_TOKEN, check_slack
from bot.settings import Settings

SERVICE_TIMEOUT = 60.0  #: seconds for one service; its checks have shorter limits of their own
DATABASE_TIMEOUT = 15.0
SETTINGS = Result("settings", "settings")


async def run_doctor(settings: Settings, out: TextIO, *, as_json: bool) -> bool:
    """Check everything and write the report; return whether there is no problem."""
    results = await run_checks(settings)
    (write_json if as_json else write_lines)(results, out)
    return is_ok(results)


async def run_checks(settings: Settings) -> list[Result]:
    """Check everything that the settings need; nothing is changed."""
    now = datetime.now(UTC)
    parts = await asyncio.gather(
        within(BOT_TOKEN, SERVICE_TIMEOUT, check_slack(settings)),
        *(
            within(
                Result("atlas", f"project {project.label}"),
                SERVICE_TIMEOUT,
                check_project(settings, project, now),
            )
            for project in settings.projects
        ),
        within(
            DATABASE, DATABASE_TIMEOUT, check_database(settings.database_url.get_secret_value())
        ),
    )
    fix = "Change the setting if this is not intended."
    warnings = [SETTINGS.warning(text, fix) for text in (*settings.warnings, *settings.risks)]
    return [*(result for part in parts for result in part), *warnings]
