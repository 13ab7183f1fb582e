"""Writes the results: a table on a terminal, lines in files, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.doctor.results import CheckResult, Level
from bot.log_config import redacted

STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNCHECKED: "dim",
}


def settings_results(problems: Iterable[str]) -> list[CheckResult]:
    """Return the problems of the settings as results."""
    return [
        CheckResult(check="settings", subject="settings", level=Level.PROBLEM, message=problem)
        for problem in problems
    ]


def is_ok(results: Iterable[CheckResult]) -> bool:
    """Whether the bot can be started with what was found."""
    return all(result.level is not Level.PROBLEM for result in results)


def write_json(results: Sequence[CheckResult], out: TextIO) -> None:
    """Write one JSON object; programs rely on its keys."""
    counts = Counter(result.level for result in results)
    report = {
        "ok": is_ok(results),
        "counts": {level.value: counts[level] for level in Level},
        "checks": [_as_json(_clean(result)) for result in results],
    }
    out.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def _as_json(result: CheckResult) -> dict[str, str]:
    return {
        "check": result.check,
        "about": result.subject,
        "level": result.level.value,
        "says": result.message,
        "do": result.hint,
    }


def write_lines(results: Sequence[CheckResult], out: TextIO) -> None:
    """Write a table on a terminal, and elsewhere one line for each result; the count is last."""
    shown = [_clean(result) for result in results]
    if out.isatty():
        _write_table(merge_unchecked(shown), out)
    else:
        out.writelines(f"{line(result)}\n" for result in merge_unchecked(shown))
    out.write(f"{summary(shown)}\n")


def merge_unchecked(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Merge neighbours that were not checked for the same reason into one line (pure).

    Behind a key that Atlas refuses lie seven of them, in which the problem would go under.
    """
    lines: list[CheckResult] = []
    for _, alike in groupby(results, lambda each: (each.level, each.message, each.hint)):
        first, *more = alike
        if first.level is not Level.UNCHECKED:
            lines += [first, *more]
        else:
            lines.append(replace(first, subject="; ".join(each.subject for each in (first, *more))))
    return lines


def line(result: CheckResult) -> str:
    """Write a result as one line of text."""
    text = f"{result.level.value:<9} {result.subject}: {result.message}"
    return f"{text} → {result.hint}" if result.hint else text


def summary(results: Iterable[CheckResult]) -> str:
    """Say in one line how it stands."""
    counts = Counter(result.level for result in results)
    problems, warned = counts[Level.PROBLEM], counts[Level.WARNING]
    warned_of = f"{warned} {'warning' if warned == 1 else 'warnings'}"
    if problems:
        return f"{problems} {'problem' if problems == 1 else 'problems'}, {warned_of}."
    return f"No problem, {warned_of}."


def _write_table(results: Iterable[CheckResult], out: TextIO) -> None:
    table = Table("", "What", "How it stands", "What to do", pad_edge=False)
    for result in results:
        level = Text(result.level.value, style=STYLES[result.level])
        # As text: names from Slack and Atlas are no markup.
        table.add_row(level, *map(Text, (result.subject, result.message, result.hint)))
    Console(file=out).print(table)


def _clean(result: CheckResult) -> CheckResult:
    """Take secrets out, and what would move a terminal's cursor: names come from outside."""
    return replace(
        result,
        subject=_plain(result.subject),
        message=_plain(result.message),
        hint=_plain(result.hint),
    )


def _plain(text: str) -> str:
    return redacted("".join(c if c.isprintable() else " " for c in text))
