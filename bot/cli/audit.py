"""`cancel-restore audit`: writes the record as a table, JSON lines or CSV, and verifies it."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.cancellation.errors import RecordUnreadable
from bot.cancellation.events import EventName, Recorded
from bot.cli import FAILED, WRONG_USAGE, fail
from bot.settings import SettingsError, load_database_url
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.migrate import SchemaError, has_tables

#: The fields of every event, under the same names in each format.
COLUMNS = ("at", "event", "request", "actor", "team")

#: CSV has the other fields of an event as JSON in `detail`, and the event's link in the chain.
CSV_COLUMNS = (*COLUMNS, "number", "detail", "hash")

#: The other fields that the table shows, in this order.
DETAILS = (
    *("project", "cluster", "job", "reason", "try"),
    *("status", "code", "sentence", "error", "because"),
)

#: The width of a table that is not written to a terminal.
TABLE_WIDTH = 200

ACTOR_ID = re.compile(r"[UW][A-Z0-9]+")
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]+")

T = TypeVar("T")

app = typer.Typer(invoke_without_command=True, help="Show the record, or verify it.")


class Format(StrEnum):
    """The formats of the record."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


@app.callback()
def show(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="A day or a moment in ISO 8601.")] = "",
    request: Annotated[str, typer.Option(help="Only the request with this id.")] = "",
    actor: Annotated[str, typer.Option(help="Only what this Slack user id did.")] = "",
    *,
    event: Annotated[str, typer.Option(help="Only this event, as request:created.")] = "",
    how: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
) -> None:
    """Show who asked for what, who decided, and what Atlas answered."""
    if context.invoked_subcommand:
        return
    moment = parse_since(since)
    check_filters(request, actor, event)
    given = {"request": request, "actor": actor, "event": event}
    filters = {name: value for name, value in given.items() if value}

    async def write_events(log: AuditLog) -> None:
        await write(log.events(moment, **filters), how, sys.stdout)

    asyncio.run(with_audit_log(write_events))


@app.command(short_help="Check that no event was changed or removed.")
def verify() -> None:
    """Check that no event was changed or removed; exit 1 and name the first that was."""

    async def check(log: AuditLog) -> int:
        breaks = await log.verify()
        checked = await log.count()
        for each in breaks:
            typer.echo(f"The record is broken: {each}.", err=True)
        if not breaks:
            typer.echo(f"The record is whole: none of {checked} events was changed or removed.")
        return len(breaks)

    if asyncio.run(with_audit_log(check)):
        raise typer.Exit(FAILED)


def parse_since(text: str) -> datetime | None:
    """Parse a day or a moment in ISO 8601; the default zone is UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        example = "write a day such as 2026-11-25, or 2026-11-25T22:00Z"
        fail(f"{text!r} is not a time: {example}.", WRONG_USAGE)


def check_filters(request: str, actor: str, event: str) -> None:
    """Reject filters that no event can match because they are mistyped."""
    if event and event not in set(EventName):
        known = ", ".join(sorted(EventName))
        fail(f"There is no event {event!r}; there are: {known}.", WRONG_USAGE)
    if request and not REQUEST_ID.fullmatch(request):
        fail(f"{request!r} is not the id of a request: see the log or the record.", WRONG_USAGE)
    if actor and not ACTOR_ID.fullmatch(actor):
        fail(f"{actor!r} is not a Slack user id, such as U012AB3CD.", WRONG_USAGE)


async def with_audit_log(use: Callable[[AuditLog], Awaitable[T]]) -> T:
    """Call `use` with the record; the database is only read, never created or migrated."""
    try:
        url = load_database_url()
    except SettingsError as error:
        fail(str(error), WRONG_USAGE)
    if missing := missing_file(url):
        fail(f"There is no record yet: {missing} does not exist. Check DATABASE_URL.")
    database = Database(url)
    try:
        if await database.read_snapshot(has_tables):
            return await use(AuditLog(database))
        fail("There is no record yet: the database is empty. Check DATABASE_URL.")
    except RecordUnreadable as error:
        fail(error.sentence)
    except SchemaError as error:
        fail(f"The database of DATABASE_URL cannot be used. {error}")
    finally:
        await database.close()


def missing_file(url: str) -> Path | None:
    """Return the path of a SQLite file that does not exist."""
    path = Path(url.removeprefix("sqlite:///"))
    try:
        return path if url.startswith("sqlite:///") and not path.exists() else None
    except OSError:
        return None  # opening the database reports the error


async def write(events: AsyncIterator[Recorded], how: Format, out: TextIO) -> None:
    """Write `events` to `out`; JSON lines and CSV are streamed."""
    if how is Format.JSONL:
        await _write_jsonl(events, out)
    elif how is Format.CSV:
        await _write_csv(events, out)
    else:
        await _write_table(events, out)


def as_json(event: Recorded) -> dict[str, Any]:
    """Return an event as JSON values: its own fields beside those of its detail."""
    own = {name: getattr(event, name) for name in COLUMNS}
    return {**json.loads(event.detail), **own, "number": event.number, "hash": event.hash}


async def _write_jsonl(events: AsyncIterator[Recorded], out: TextIO) -> None:
    ensure_ascii = not (out.encoding or "utf-8").lower().startswith("utf")
    async for event in events:
        out.write(json.dumps(as_json(event), ensure_ascii=ensure_ascii) + "\n")


async def _write_csv(events: AsyncIterator[Recorded], out: TextIO) -> None:
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    async for event in events:
        writer.writerow([_cell(getattr(event, name)) for name in CSV_COLUMNS])


def _cell(value: object) -> object:
    """Quote text that a spreadsheet would evaluate as a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return value


async def _write_table(events: AsyncIterator[Recorded], out: TextIO) -> None:
    table = Table("When (UTC)", "Event", "Request", "Who", "Details")
    async for event in events:
        when = event.at[:19].replace("T", " ")
        cells = (when, event.event, event.request, event.actor or "the bot", _details(event))
        table.add_row(*map(Text, cells))  # as Text: what people typed is not markup
    if not table.rows:
        out.write("No event of the record matches.\n")
        return
    width = None if out.isatty() else TABLE_WIDTH
    Console(file=out, width=width, soft_wrap=False).print(table)


def _details(event: Recorded) -> str:
    detail = json.loads(event.detail)
    return ", ".join(f"{name} {detail[name]}" for name in DETAILS if detail.get(name))
