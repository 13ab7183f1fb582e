"""What commands write: JSON lines, tables, and sentences about errors."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cancellation.text import printable

DONE = 0
FAILED = 1
WRONG_USAGE = 2  # or wrong settings
INTERRUPTED = 130  # by Ctrl-C, as shells report it
UNLIMITED = 10_000  #: a width that no table reaches, to measure how wide it is


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Write `message` to standard error and end the command with `code`."""
    typer.echo(printable(message) if "\n" not in message else message, err=True)
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
    JSON = "json"  #: an object a line


def format_of(how: str, out: TextIO | None = None) -> OutputFormat:
    """Parse `--format`; without it, text on a terminal and JSON lines elsewhere."""
    if not how:
        return OutputFormat.TABLE if (out or sys.stdout).isatty() else OutputFormat.JSON
    if how not in set(OutputFormat):
        fail(f"There is no format {how!r}; there are: table and json.", WRONG_USAGE)
    return OutputFormat(how)


def write_json(fields: Mapping[str, Any], out: TextIO) -> None:
    """Write one JSON object as a line."""
    ensure_ascii = not (out.encoding or "utf-8").lower().startswith("utf")
    out.write(printable(json.dumps(fields, ensure_ascii=ensure_ascii)) + "\n")
    out.flush()


def discard(out: TextIO) -> None:
    """Drop what an output that failed still has, and what is written to it from now on."""
    with suppress(OSError):  # a closed output has nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


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
        for header, cell in zip(headers, row, strict=True):
            if cell:
                out.write(f"{header}: {printable(cell)}\n")
        out.write("\n")
