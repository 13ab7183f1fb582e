"""Writes a benchmark's tables into a Markdown file, between the markers with its name."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tools.reporting.report import Report


def page_at(given: str) -> Path:
    """Return the path of a writable file with markers, or of a new one, for argparse.

    Raises:
        ArgumentTypeError: the file cannot be written or has no markers.
    """
    path = Path(given)
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK) or path.is_dir():
        raise argparse.ArgumentTypeError(f"{given} cannot be written")
    if path.exists() and "<!-- bench:" not in path.read_text():
        raise argparse.ArgumentTypeError(f"{given} has no place for figures: <!-- bench:NAME -->")
    return path


def write(page: Path, report: Report, header: Sequence[str]) -> None:
    """Replace the section of this benchmark, or append it; a failed benchmark changes nothing."""
    if report.error:
        return
    text = page.read_text() if page.exists() else ""
    page.write_text(_with(text, report.name, _section(report, header)))


def _section(report: Report, header: Sequence[str]) -> str:
    tables = "\n\n".join(table.markdown() for table in report.tables)
    return f"{tables}\n\n_{'. '.join(header)}._"


def _with(text: str, name: str, section: str) -> str:
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    marked = f"{begin}\n\n{section}\n\n{end}"
    place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if place.search(text):
        return place.sub(lambda _old: marked, text)
    return f"{text.rstrip()}\n\n{marked}\n".lstrip()
