"""Writes the findings out: a table for eyes, lines for files, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.doctor.results import CheckResult, Level
from bot.log_config import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNCHECKED: "dim",
}


def settings_results(problems: Iterable[str]) -> list[CheckResult]:
    """Make findings of what stops the start; each sentence names the variable and the fix."""
    return [
        CheckResult(check="settings", about="settings", level=Level.PROBLEM, says=problem)
        for problem in problems
    ]


def is_ok(findings: Iterable[CheckResult]) -> bool:
    """Whether the bot can be started with what was found."""
    return all(finding.level is not Level.PROBLEM for finding in findings)


def write_json(findings: Sequence[CheckResult], out: TextIO) -> None:
    """Write one JSON object; its names stay."""
    counts = Counter(finding.level for finding in findings)
    report = {
        "ok": is_ok(findings),
        "counts": {level.value: counts[level] for level in Level},
        "checks": [asdict(_clean(finding)) for finding in findings],
    }
    out.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def write_lines(findings: Sequence[CheckResult], out: TextIO) -> None:
    """Write a table on a terminal, and elsewhere one line for each finding; the count is last."""
    shown = [_clean(finding) for finding in findings]
    if out.isatty():
        _write_table(together(shown), out)
    else:
        out.writelines(f"{line(finding)}\n" for finding in together(shown))
    out.write(f"{summary(shown)}\n")


def together(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Make one line of neighbours that nobody could check for the same reason (pure).

    Behind a key that Atlas refuses lie seven of them, in which the problem would go under.
    """
    lines: list[CheckResult] = []
    for _, alike in groupby(findings, lambda each: (each.level, each.says, each.do)):
        first, *more = alike
        if first.level is not Level.UNCHECKED:
            lines += [first, *more]
        else:
            lines.append(replace(first, about="; ".join(each.about for each in (first, *more))))
    return lines


def line(finding: CheckResult) -> str:
    """Write a finding as one line of text."""
    text = f"{finding.level.value:<9} {finding.about}: {finding.says}"
    return f"{text} → {finding.do}" if finding.do else text


def summary(findings: Iterable[CheckResult]) -> str:
    """Say in one line how it stands."""
    counts = Counter(finding.level for finding in findings)
    problems, warned = counts[Level.PROBLEM], counts[Level.WARNING]
    warned_of = f"{warned} {'warning' if warned == 1 else 'warnings'}"
    if problems:
        return f"{problems} {'problem' if problems == 1 else 'problems'}, {warned_of}."
    return f"No problem, {warned_of}."


def _write_table(findings: Iterable[CheckResult], out: TextIO) -> None:
    table = Table("", "What", "How it stands", "What to do", pad_edge=False)
    for finding in findings:
        level = Text(finding.level.value, style=STYLES[finding.level])
        # As text: names from Slack and Atlas are no markup.
        table.add_row(level, *map(Text, (finding.about, finding.says, finding.do)))
    Console(file=out).print(table)


def _clean(finding: CheckResult) -> CheckResult:
    """Take secrets out, and what would move a terminal's cursor: names come from outside."""
    return replace(
        finding, about=_plain(finding.about), says=_plain(finding.says), do=_plain(finding.do)
    )


def _plain(text: str) -> str:
    return redacted("".join(c if c.isprintable() else " " for c in text))
