"""Runs all checks, those of different services concurrently, and writes the results."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TextIO

from aiohttp import web
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.doctor.atlas import check_project
from bot.doctor.audit_webhook import SUBJECT as WEBHOOK
from bot.doctor.audit_webhook import check_audit_webhook
from bot.doctor.database import SUBJECT as DATABASE
from bot.doctor.database import check_database
from bot.doctor.results import CheckResult, Level, Subject, all_within, within
from bot.doctor.slack import BOT_TOKEN, check_slack
from bot.log_config import redacted
from bot.settings import Settings, warnings
from bot.web.server import PortTaken, WebError, WebServer

#: Seconds for everything about one service; the checks in it have shorter limits of their own.
SERVICE_TIMEOUT = 60.0

PORT = Subject("http", "HOST, PORT")
ATLAS = Subject("atlas", "MONGODB_ATLAS_BASE_URL")
SETTINGS = Subject("settings", "settings")

STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNCHECKED: "dim",
}


def wall_clock() -> datetime:
    return datetime.now(UTC)


async def run_checks(
    settings: Settings, *, now: Callable[[], datetime] = wall_clock
) -> list[CheckResult]:
    """Check everything that `settings` need; nothing is changed, a webhook gets a test event."""
    url = settings.database_url.get_secret_value()
    hook = settings.audit_webhook
    projects = (check_project(settings, project, now) for project in settings.projects)
    parts = await asyncio.gather(
        all_within(BOT_TOKEN, check_slack(settings, now), SERVICE_TIMEOUT),
        *(all_within(ATLAS, checking, SERVICE_TIMEOUT) for checking in projects),
        _one(within(DATABASE, check_database(url))),
        *([_one(within(WEBHOOK, check_audit_webhook(hook)))] if hook else []),
        _one(within(PORT, check_port(settings.host, settings.port))),
    )
    hint = "Change the setting if this is not intended."
    risks = [SETTINGS.warning(risk, hint) for risk in warnings(settings)]
    return [*dict.fromkeys(result for part in parts for result in part), *risks]


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
    return [SETTINGS.problem(problem, "") for problem in problems]


def is_ok(results: Iterable[CheckResult]) -> bool:
    """Return whether there is no problem, so that the bot can be started."""
    return all(result.level is not Level.PROBLEM for result in results)


def write_json(results: Sequence[CheckResult], out: TextIO) -> None:
    """Write one JSON object; programs rely on its keys."""
    counts = Counter(result.level for result in results)
    report = {
        "ok": is_ok(results),
        "counts": {level.value: counts[level] for level in Level},
        "checks": [
            {
                "check": result.check,
                "about": result.subject,
                "level": result.level.value,
                "says": result.message,
                "do": result.hint,
            }
            for result in map(_clean, results)
        ],
    }
    out.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def write_lines(results: Sequence[CheckResult], out: TextIO) -> None:
    """Write a table on a terminal, and elsewhere one line for each result; then the counts."""
    shown = merge_unchecked(map(_clean, results))
    if out.isatty():
        _write_table(shown, out)
    else:
        out.writelines(f"{line(result)}\n" for result in shown)
    out.write(f"{summary(results)}\n")


def merge_unchecked(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Merge neighbours that are unchecked for the same reason into one line.

    Without this, seven unchecked results would hide the refused key that is their cause.
    """
    merged: list[CheckResult] = []
    for (level, *_), group in groupby(results, lambda each: (each.level, each.message, each.hint)):
        alike = list(group)
        if level is Level.UNCHECKED:
            alike = [replace(alike[0], subject="; ".join(each.subject for each in alike))]
        merged += alike
    return merged


def line(result: CheckResult) -> str:
    """Return a result as one line of text."""
    text = f"{result.level.value:<9} {result.subject}: {result.message}"
    return f"{text} → {result.hint}" if result.hint else text


def summary(results: Iterable[CheckResult]) -> str:
    """Return the counts of problems and warnings as a sentence."""
    counts = Counter(result.level for result in results)
    problems = counts[Level.PROBLEM]
    found = _counted(problems, "problem") if problems else "No problem"
    return f"{found}, {_counted(counts[Level.WARNING], 'warning')}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _write_table(results: Iterable[CheckResult], out: TextIO) -> None:
    table = Table("", "Subject", "Result", "What to do", pad_edge=False)
    for result in results:
        level = Text(result.level.value, style=STYLES[result.level])
        # As Text: names from Slack and Atlas are not markup.
        table.add_row(level, *map(Text, (result.subject, result.message, result.hint)))
    Console(file=out).print(table)


def _clean(result: CheckResult) -> CheckResult:
    """Remove secrets, and control characters in names from Slack and Atlas."""
    return replace(
        result,
        subject=_plain(result.subject),
        message=_plain(result.message),
        hint=_plain(result.hint),
    )


def _plain(text: str) -> str:
    return redacted("".join(c if c.isprintable() else " " for c in text))
