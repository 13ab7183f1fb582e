"""Writes the results of the checks: as grouped lines for people, or as JSON for programs."""

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.text import Text

from bot.doctor.results import CheckResult, Level
from bot.redaction import redacted

STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNCHECKED: "dim",
}

#: The columns in which the name of a level and the text beside it begin.
LEVEL_COLUMN, TEXT_COLUMN = 2, 12


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
    """Write the results by group, the problems once more, and the counts.

    Lines are as wide as a terminal, and not broken elsewhere.
    """
    shown = merge_unchecked(map(_clean, results))
    problems = [replace(each, group="Problems") for each in shown if each.level is Level.PROBLEM]
    console = Console(file=out, highlight=False, soft_wrap=True)
    width = max(console.width, 2 * TEXT_COLUMN) if out.isatty() else sys.maxsize
    for group, alike in groupby([*shown, *problems], lambda each: each.group):
        if group:
            console.print(Text(group, style="bold"))
        for result in alike:
            for line in lines_of(result, width):
                text = Text(line)  # names from Slack and Atlas are not markup
                text.stylize(STYLES[result.level], LEVEL_COLUMN, TEXT_COLUMN)
                console.print(text)
    out.write(f"{summary(results)}\n")


def lines_of(result: CheckResult, width: int = sys.maxsize) -> Iterator[str]:
    """Return a result as lines: level, subject and message, and the hint below them (pure)."""
    indent = " " * TEXT_COLUMN
    begin = f"{'':{LEVEL_COLUMN}}{result.level.value}".ljust(TEXT_COLUMN)
    yield from _wrap(f"{result.subject}: {result.message}", width, begin, indent)
    yield from _wrap(result.hint, width, f"{indent}→ ", f"{indent}  ")


def _wrap(text: str, width: int, first: str, others: str) -> list[str]:
    """Break text between words; names of settings stay whole."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def merge_unchecked(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Merge neighbours that are unchecked for the same reason into one line.

    Without this, seven unchecked results would hide the refused key that is their cause.
    """
    merged: list[CheckResult] = []
    for (level, *_), group in groupby(
        results, lambda each: (each.level, each.message, each.hint, each.group)
    ):
        alike = list(group)
        if level is Level.UNCHECKED:
            alike = [replace(alike[0], subject="; ".join(each.subject for each in alike))]
        merged += alike
    return merged


def summary(results: Iterable[CheckResult]) -> str:
    counts = Counter(result.level for result in results)
    problems = counts[Level.PROBLEM]
    found = _counted(problems, "problem") if problems else "No problem"
    return f"{found}, {_counted(counts[Level.WARNING], 'warning')}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clean(result: CheckResult) -> CheckResult:
    """Remove secrets, and control characters in names from Slack and Atlas."""
    return replace(
        result,
        subject=_plain(result.subject),
        message=_plain(result.message),
        hint=_plain(result.hint),
        group=_plain(result.group),
    )


def _plain(text: str) -> str:
    return redacted("".join(c if c.isprintable() else " " for c in text))
