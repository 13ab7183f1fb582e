"""The modules of the security core, as the page about the architecture names them."""

import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path("docs/architecture.md")


def core_modules() -> set[str]:
    """Return the names, without `bot.`, of the modules in the table of the page."""
    page = PAGE.read_text(encoding="utf-8")
    section = page[page.index("## The security core") : page.index("## Where to add what")]
    rows = (line for line in section.splitlines() if line.startswith("| `"))
    return {name for row in rows for name in _names(row.split("|")[1])}


def _names(cell: str) -> Iterator[str]:
    """Yield the modules of a cell: a path without a folder has that of the path before it."""
    folder = ""
    for path in re.findall(r"`([\w/]+)\.py`", cell):
        above, _, name = path.rpartition("/")
        folder = above or folder
        yield f"{folder}.{name}".replace("/", ".")
