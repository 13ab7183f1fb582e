"""Writes the goals of a benchmark into the one table of a page, between its two markers.

A row is a goal: benchmark, goal, result, whether it was held, commit and time, machine. Goals that
were not held stand first. The tables of figures are printed only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.reporting.report import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tools.reporting.report import Report

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
COLUMNS = ("Benchmark", "Goal", "Result", "Held", "Commit", "Machine")
ORDER = ("**no**", "not measured", "yes")
VERDICTS = dict(zip((False, None, True), ORDER, strict=True))


def page_at(given: str) -> Path:
    """Return the path of a writable page with the markers, for argparse.

    Raises:
        ArgumentTypeError: the file cannot be written or has no markers.
    """
    path = Path(given)
    if not path.is_file() or not os.access(path, os.W_OK):
        raise argparse.ArgumentTypeError(f"{given} cannot be written")
    if BEGIN not in path.read_text():
        raise argparse.ArgumentTypeError(f"{given} has no place for figures: {BEGIN}")
    return path


def require_committed(parser: argparse.ArgumentParser) -> None:
    """End the program where the code has changes: the page names the commit that was measured."""
    if changed := changes():
        parser.error(f"the page names a commit, and these files are not committed:\n{changed}")


def changes(folder: Path = Path()) -> str:
    """Return the changed files that are no page, in Git's short form; empty when committed."""
    command = ["git", "status", "--porcelain", "--", ".", ":!docs"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def write(page: Path, report: Report, measured: Sequence[str]) -> None:
    """Replace the rows of this benchmark; a failed benchmark changes nothing.

    Args:
        page: a page with the markers.
        report: the results.
        measured: commit and machine.
    """
    if report.error:
        return
    before, rest = page.read_text().split(BEGIN)
    old, after = rest.split(END)
    kept = [row for row in _rows(old) if row[0] != report.name]
    tables = [table for table in report.tables if table.goals]
    new = [
        [report.name, text, shown(goal.seen), VERDICTS[goal.held], *measured]
        for table in tables
        for goal in table.goals
        for text in [goal.text if len(tables) == 1 else f"{table.title}: {goal.text}"]
    ]
    rows = sorted([*kept, *new], key=lambda row: (ORDER.index(row[3]), row[0]))
    lines = [_line(COLUMNS), "|---" * len(COLUMNS) + "|", *map(_line, rows)]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


def _rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
