"""`cancel-restore audit`: writes the record as a table, JSON lines or CSV, and verifies it."""

import asyncio
import csv
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO, TypeVar

import typer

from bot.cancellation.errors import RecordUnreadable
from bot.cancellation.events import COLUMNS, EventName, Recorded, readable_fields
from bot.cli import FAILED, WRONG_USAGE, fail
from bot.cli.output import printable, write_table
from bot.settings import SettingsError, load_database_url
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.migrate import SchemaError, has_tables

#: The other fields that the table shows, in this order.
DETAILS = (
    *("project", "cluster", "job", "reason", "try"),
    *("status", "code", "sentence", "error", "because"),
)

ACTOR_ID = re.compile(r"[UW][A-Z0-9]+|cli:.+")
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
    actor: Annotated[
        str, typer.Option(help="Only what this Slack user id, or cli:ACCOUNT, did.")
    ] = "",
    *,
    event: Annotated[str, typer.Option(help="Only this event, as request:created.")] = "",
    how: Annotated[str, typer.Option("--format", help="table, jsonl or csv.")] = "table",
) -> None:
    """Show who asked for what, who decided, and what Atlas answered."""
    if context.invoked_subcommand:
        return
    moment = parse_since(since)
    if how not in set(Format):
        fail(f"There is no format {how!r}; there are: {', '.join(Format)}.", WRONG_USAGE)
    check_filters(request, actor, event)
    given = {"request": request, "actor": actor, "event": event}
    filters = {name: value for name, value in given.items() if value}

    async def write_events(log: AuditLog) -> int:
        return await write(lambda: log.events(moment, **filters), Format(how), sys.stdout)

    if damaged := asyncio.run(with_audit_log(write_events)):
        fail(f"{damaged} event(s) of the record are damaged: run `cancel-restore audit verify`.")


@app.command(short_help="Check that no event was changed or removed.")
def verify() -> None:
    """Check that no event was changed or removed; exit 1 and name the first that was."""

    async def check(log: AuditLog) -> int:
        breaks = await log.verify()
        checked = await log.count()
        for each in breaks:
            typer.echo(f"The record is broken: {printable(str(each))}.", err=True)
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
        fail(
            f"{actor!r} is not a Slack user id, such as U012AB3CD, nor cli: and an account.",
            WRONG_USAGE,
        )


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


Events = Callable[[], AsyncIterator[Recorded]]


async def write(events: Events, how: Format, out: TextIO) -> int:
    """Write events to `out`, and return how many are damaged; JSON lines and CSV are streamed."""
    writers = {Format.JSONL: _write_jsonl, Format.CSV: _write_csv, Format.TABLE: _write_table}
    return await writers[how](events, out)


async def _write_jsonl(events: Events, out: TextIO) -> int:
    ensure_ascii = not (out.encoding or "utf-8").lower().startswith("utf")
    damaged = 0
    async for event in events():
        fields, is_damaged = readable_fields(event)
        out.write(printable(json.dumps(fields, ensure_ascii=ensure_ascii)) + "\n")
        damaged += is_damaged
    return damaged


async def _write_csv(events: Events, out: TextIO) -> int:
    """Write a column for each field that any of the events has."""
    names = dict.fromkeys((*COLUMNS, "number", "hash"))
    async for event in events():
        names |= dict.fromkeys(readable_fields(event)[0])
    writer = csv.DictWriter(out, list(names), restval="", extrasaction="ignore")
    writer.writeheader()
    damaged = 0
    async for event in events():
        fields, is_damaged = readable_fields(event)
        writer.writerow({name: _cell(value) for name, value in fields.items()})
        damaged += is_damaged
    return damaged


def _cell(value: object) -> object:
    """Return a value as text that a spreadsheet does not evaluate as a formula."""
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


async def _write_table(events: Events, out: TextIO) -> int:
    rows = []
    damaged = 0
    async for event in events():
        fields, is_damaged = readable_fields(event)
        damaged += is_damaged
        when = str(fields["at"])[:19].replace("T", " ")
        details = ", ".join(f"{name} {fields[name]}" for name in DETAILS if fields.get(name))
        cells = (when, fields["event"], fields["request"], fields["actor"] or "the bot", details)
        rows.append([str(each) for each in cells])
    if rows:
        write_table(("When (UTC)", "Event", "Request", "Who", "Details"), rows, out)
    else:
        out.write("No event of the record matches.\n")
    return damaged
