"""What commands write: JSON lines, tables that fit the terminal, and a sentence at the end."""

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

FAILED = 1
WRONG_USAGE = 2  # or wrong settings
WAITS_FOR_APPROVAL = 3
INTERRUPTED = 130  # by Ctrl-C, as shells report it
UNLIMITED = 10_000  #: a width that no table reaches, to measure how wide it is


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Write `message` to standard error and end the command with `code`."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def failing_on(*errors: type[Exception], code: int = FAILED) -> Iterator[None]:
    """End the command with the sentence of such an error."""
    try:
        yield
    except errors as error:
        fail(str(error), code)


class OutputFormat(StrEnum):
    TABLE = "table"
    JSON = "json"  #: an object a line, so also called `jsonl`
    CSV = "csv"


def format_of(
    how: str,
    out: TextIO | None = None,
    formats: Collection[OutputFormat] = (OutputFormat.TABLE, OutputFormat.JSON),
) -> OutputFormat:
    """Parse `--format`; without it, text on a terminal and JSON lines elsewhere."""
    how = OutputFormat.JSON if how == "jsonl" else how
    if not how:
        return OutputFormat.TABLE if (out or sys.stdout).isatty() else OutputFormat.JSON
    if how not in formats:
        fail(f"There is no format {how!r}; there are: {', '.join(formats)}.", WRONG_USAGE)
    return OutputFormat(how)


def printable(text: str) -> str:
    """Escape, as JSON does, control and direction characters, which a terminal would obey."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def write_json(fields: Mapping[str, Any], out: TextIO) -> None:
    """Write one JSON object as a line."""
    ensure_ascii = not (out.encoding or "utf-8").lower().startswith("utf")
    out.write(printable(json.dumps(fields, ensure_ascii=ensure_ascii)) + "\n")


def write_table(headers: Sequence[str], rows: Iterable[Sequence[str]], out: TextIO) -> None:
    """Write a table, one line for each row; a terminal that is narrower gets lines of fields."""
    table, rows = Table(*headers), [*rows]
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # not markup
    console = Console(file=out)
    width = console.measure(table, options=console.options.update(width=UNLIMITED)).maximum
    if not out.isatty() or width <= console.width:
        Console(file=out, width=width).print(table)
        return
    for row in rows:
        write_fields(zip(headers, row, strict=True), out)
        out.write("\n")


def write_fields(fields: Iterable[tuple[str, str]], out: TextIO) -> None:
    """Write labels and their values, if known, a line each; long ones go on below themselves."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in fields:
        if value:
            grid.add_row(label, Text(printable(value)))
    Console(file=out, width=None if out.isatty() else UNLIMITED).print(grid)
