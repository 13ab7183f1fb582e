"""The results of checks: made within time limits, and written as lines or as JSON."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bot.cancellation.text import printable
from bot.log_config import without_secrets

TRY_AGAIN = "Check the network, and try again."
REPORT = "This is an error of the program: please report it with this line."
UNLIMITED = 10_000  #: a width that no line reaches
MARGIN = 11  #: columns of the level, before the text


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  #: it works, but somebody should review it
    PROBLEM = "problem"  #: the bot, or a part of it, does not work
    UNCHECKED = "unchecked"  #: it could not be checked


STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNCHECKED: "magenta",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found; its methods return it with a level, a sentence and a fix."""

    check: str  #: the stable name of the check, for programs
    subject: str  #: what is checked, mostly the name of a setting
    level: Level = Level.UNCHECKED
    sentence: str = ""
    fix: str = ""

    def ok(self, sentence: str) -> Self:
        return replace(self, level=Level.OK, sentence=sentence)

    def warning(self, sentence: str, fix: str) -> Self:
        return replace(self, level=Level.WARNING, sentence=sentence, fix=fix)

    def problem(self, sentence: str, fix: str) -> Self:
        return replace(self, level=Level.PROBLEM, sentence=sentence, fix=fix)

    def unchecked(self, sentence: str, fix: str = "") -> Self:
        return replace(self, level=Level.UNCHECKED, sentence=sentence, fix=fix)


async def within(
    subject: Result, seconds: float, checking: Awaitable[Result | list[Result]]
) -> list[Result]:
    """Run checks with a time limit; a timeout or an error is a result about `subject`."""
    try:
        async with asyncio.timeout(seconds):
            results = await checking
    except TimeoutError:
        return [subject.problem("There was no answer in time.", TRY_AGAIN)]
    except Exception as error:  # noqa: BLE001 - reported; the other checks continue
        why = f"The check itself failed ({type(error).__name__}: {error})."
        return [subject.problem(why, REPORT)]
    return results if isinstance(results, list) else [results]


def is_ok(results: Iterable[Result]) -> bool:
    return all(result.level is not Level.PROBLEM for result in results)


def summary(results: Iterable[Result]) -> str:
    """Count problems, warnings and what was not checked; no all-clear over the last."""
    counts = Counter(result.level for result in results)
    parts = [_counted(counts[Level.PROBLEM], "problem") or "No problem found"]
    parts += filter(None, [_counted(counts[Level.WARNING], "warning")])
    if unchecked := _counted(counts[Level.UNCHECKED], "check"):
        parts.append(f"{unchecked} could not be made")
    return f"{', '.join(parts)}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""


def write_json(results: Sequence[Result], out: TextIO) -> None:
    """Write one JSON object on one line; programs rely on its keys."""
    counts = Counter(result.level for result in results)
    checks = [
        {
            "check": result.check,
            "subject": result.subject,
            "level": str(result.level),
            "sentence": result.sentence,
            "fix": result.fix or None,
        }
        for result in map(_clean, results)
    ]
    report = {
        "ok": is_ok(results),
        "summary": summary(results),
        "counts": {str(level): counts[level] for level in Level},
        "checks": checks,
    }
    out.write(json.dumps(report) + "\n")


def write_lines(results: Sequence[Result], out: TextIO) -> None:
    """Write a line for each result, its fix below it, and the counts; only terminals wrap."""
    console = Console(file=out, highlight=False, width=None if out.isatty() else UNLIMITED)
    for result in map(_clean, results):
        level = Text(f"{result.level:<{MARGIN}}", style=STYLES[result.level])
        text = f"{result.subject}: {result.sentence}"
        console.print(level + Text(text))
        if result.fix:
            console.print(Padding(Text(f"→ {result.fix}"), (0, 0, 0, MARGIN), expand=False))
    console.print(Text(summary(results), style="bold"))


def _clean(result: Result) -> Result:
    """Remove secrets, and control characters in names from Slack and Atlas."""
    subject, sentence, fix = (
        printable(without_secrets(text)) for text in (result.subject, result.sentence, result.fix)
    )
    return replace(result, subject=subject, sentence=sentence, fix=fix)
