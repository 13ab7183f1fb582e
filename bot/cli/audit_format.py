"""Writes the record out: a table for eyes, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.cancellation.events import Recorded

#: What every line has, under the same names in each format.
COLUMNS = ("at", "event", "request", "actor", "team")

#: What CSV adds: the rest of the event as JSON, and its link in the chain.
CSV_COLUMNS = (*COLUMNS, "number", "detail", "hash")

#: What a table tells of the rest, in this order.
TOLD = (
    *("project", "cluster", "job", "reason", "try"),
    *("status", "code", "sentence", "error", "because"),
)

#: Columns of a table that goes into a file or another program, where no terminal says how many.
WIDTH = 200


#: How the record names people, and requests.
PERSON = re.compile(r"[UW][A-Z0-9]+")
REQUEST = re.compile(r"[A-Za-z0-9_-]+")

#: What a table says that would have no line: a mistyped id looks the same.
NOTHING = "No event of the record fits."


class Format(StrEnum):
    """How the record is written."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


def as_json(line: Recorded) -> dict[str, Any]:
    """Return one event as JSON values: its own names, and beside them what the event adds."""
    own = {name: getattr(line, name) for name in COLUMNS}
    return {**json.loads(line.detail), **own, "number": line.number, "hash": line.hash}


async def write(lines: AsyncIterator[Recorded], how: Format, out: TextIO) -> None:
    """Write `lines` to `out`, one after the other (a table needs them all)."""
    if how is Format.JSONL:
        # What an output lacks is written in JSON's own way.
        ensure_ascii = not out.encoding.lower().startswith("utf")
        async for line in lines:
            out.write(json.dumps(as_json(line), ensure_ascii=ensure_ascii) + "\n")
    elif how is Format.CSV:
        await _write_csv(lines, out)
    else:
        await _write_table(lines, out)


async def _write_csv(lines: AsyncIterator[Recorded], out: TextIO) -> None:
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    async for line in lines:
        writer.writerow([_cell(getattr(line, name)) for name in CSV_COLUMNS])


def _cell(value: object) -> object:
    """Keep a spreadsheet from taking outside text for a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return value


async def _write_table(lines: AsyncIterator[Recorded], out: TextIO) -> None:
    # Loaded for who wants a table: the bot starts without it.
    from rich import console, table, text  # noqa: PLC0415 - see above

    drawn = table.Table("When (UTC)", "Event", "Request", "Who", "Details")
    async for line in lines:
        when = line.at[:19].replace("T", " ")
        cells = (when, line.event, line.request, line.actor or "the bot", _short(line))
        drawn.add_row(*map(text.Text, cells))  # as text: what people typed is no markup
    if not drawn.rows:
        out.write(f"{NOTHING}\n")
        return
    width = None if out.isatty() else WIDTH
    console.Console(file=out, width=width, soft_wrap=False).print(drawn)


def _short(line: Recorded) -> str:
    """Say what matters of an event in a few words."""
    detail = json.loads(line.detail)
    names = (name for name in TOLD if detail.get(name))
    return ", ".join(f"{name} {detail[name]}" for name in names)
