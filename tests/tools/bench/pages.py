"""Writes a benchmark's tables into a page, between the markers that bear its name."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tools.bench.report import Report


def page_at(given: str) -> Path:
    """Take a page that can be written to, or made; raises what argparse makes a sentence of.

    Looked at before anything is measured. A file without a single marker is no page for figures.
    """
    path = Path(given)
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK) or path.is_dir():
        raise argparse.ArgumentTypeError(f"{given} cannot be written")
    if path.exists() and "<!-- bench:" not in path.read_text():
        raise argparse.ArgumentTypeError(f"{given} has no place for figures: <!-- bench:NAME -->")
    return path


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
