"""Runs every check: parts that do not need each other at the same time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bot.doctor.atlas import examine_project
from bot.doctor.database import SUBJECT as DATABASE
from bot.doctor.database import examine_database
from bot.doctor.port import SUBJECT as PORT
from bot.doctor.port import examine_port
from bot.doctor.results import Subject, all_within, within
from bot.doctor.slack import examine_slack
from bot.doctor.tokens import BOT_TOKEN
from bot.settings import warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from bot.doctor.results import CheckResult
    from bot.settings import Settings

#: Seconds for everything about one service; the checks in it have shorter limits of their own.
LONGEST = 60.0

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
        all_within(BOT_TOKEN, examine_slack(settings, now), LONGEST),
        *(
            all_within(ATLAS, examine_project(settings, project, now), LONGEST)
            for project in settings.projects
        ),
        _one(within(DATABASE, examine_database(url))),
        _one(within(PORT, examine_port(settings.host, settings.port))),
    )
    risks = [RISK.warning(risk, CHANGE) for risk in warnings(settings)]
    return [*dict.fromkeys(finding for part in parts for finding in part), *risks]


async def _one(checking: Coroutine[Any, Any, CheckResult]) -> list[CheckResult]:
    return [await checking]
