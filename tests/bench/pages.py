"""Writes a benchmark's tables into a page, between the markers that bear its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.report import Report


def write(page: Path, report: Report, header: Sequence[str]) -> None:
    """Put the report in place of the one before; at the end where the page has none yet.

    A benchmark that broke off leaves its last figures: it has no new ones.
    """
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
