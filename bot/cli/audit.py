"""`cancel-restore audit`: writes the audit log as a table, JSON lines or CSV, or verifies it."""

import asyncio
import csv
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import typer

from bot.cancellation.errors import DatabaseUnreadable
from bot.cancellation.events import OWN_FIELDS, EventName, Recorded, readable_fields
from bot.cancellation.lifecycle import TYPED_TEXTS
from bot.cli.output import (
    FAILED,
    WRONG_USAGE,
    OutputFormat,
    fail,
    failing_on,
    format_of,
    printable,
    write_json,
    write_table,
)
from bot.settings import SettingsError, load_database_url
from bot.slack import mrkdwn
from bot.storage.audit_log import NO_DOWNLOADS, AuditLog, read_summary
from bot.storage.database import Database
from bot.storage.migrate import SchemaError, known_version
from bot.storage.verification import MAX_BREAKS

#: The other fields that the table shows, in this order.
DETAILS = (
    *("project", "cluster", "job", *TYPED_TEXTS, "try", "by", "how"),
    *("status", "code", "sentence", "error", "because"),
)

SUMMARY_HEADERS = (
    *("Project", "Downloads", "Started by", "Kept", "Cancelled before the link", "after the link"),
    *("Would have been cancelled", "Seconds to announcement, median", "worst"),
    "Restores into other projects",
)

ACTOR_ID = re.compile(r"[UW][A-Z0-9]+|cli:.+")
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]+")

T = TypeVar("T")

Events = Callable[[], AsyncIterator[Recorded]]
FieldsWriter = Callable[[Mapping[str, Any]], object]

app = typer.Typer(invoke_without_command=True, help="Show the audit log, or verify it.")


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
    how: Annotated[
        str, typer.Option("--format", help="table, csv or json, which is lines (jsonl).")
    ] = "table",
) -> None:
    """Show who asked for what, who decided, and what Atlas answered."""
    if context.invoked_subcommand:
        return
    moment = parse_since(since)
    form = format_of(how, formats=[*OutputFormat])
    check_filters(request, actor, event)
    given = {"request": request, "actor": actor, "event": event}
    filters = {name: value for name, value in given.items() if value}

    async def write_events(database: Database) -> int:
        log = AuditLog(database)
        if request and not [event async for event in log.events(request=request)]:
            fail(f"The audit log has no request {request!r}: check its id.")
        return await write(lambda: log.events(moment, **filters), form, sys.stdout)

    if damaged := asyncio.run(with_database(write_events)):
        what = mrkdwn.count(damaged, "damaged event")
        fail(f"The audit log has {what}: run `cancel-restore audit verify`.")


@app.command(short_help="Check that no event was changed or removed.")
def verify() -> None:
    """Check that no event was changed or removed; exit 1 and name each that was, up to 100."""

    async def check(database: Database) -> int:
        log = AuditLog(database)
        breaks = await log.verify()
        checked = await log.count()
        for each in breaks:
            what = "database is damaged" if each.row else "audit log is broken"
            typer.echo(f"The {what}: {printable(str(each))}.", err=True)
        if not breaks:
            typer.echo(f"The audit log is intact: none of {checked} events was changed or removed.")
        return len(breaks)

    if asyncio.run(with_database(check)):
        raise typer.Exit(FAILED)


@app.command(short_help="Figures per project about downloads: who, kept, cancelled, how fast.")
def summary(
    since: Annotated[str, typer.Option(help="A day or a moment in ISO 8601.")] = "",
    how: Annotated[str, typer.Option("--format", help="table or json.")] = "",
) -> None:
    """Print figures per project about the downloads that the watch saw.

    Look at them before quarantine goes from observe to enforce.
    """
    moment, form = parse_since(since), format_of(how)
    read = with_database(lambda db: db.read_snapshot(lambda sql: read_summary(sql, moment)))
    found = asyncio.run(read)
    if form is OutputFormat.JSON:
        for fields in found.projects or [NO_DOWNLOADS]:
            write_json(fields, sys.stdout)
    elif found.projects:
        write_table(SUMMARY_HEADERS, map(_summary_row, found.projects), sys.stdout)
    if not found.projects:
        typer.echo("The watch saw no downloads in that time.", err=form is OutputFormat.JSON)
    if found.damaged:
        rows = printable(", ".join(found.damaged[:MAX_BREAKS]))
        fail(f"The database is damaged; not counted: {rows}. Run `cancel-restore audit verify`.")


def _summary_row(fields: Mapping[str, Any]) -> list[str]:
    by = ", ".join(f"{name} {count}" for name, count in fields["by"].items())
    return ["" if value is None else str(value) for value in {**fields, "by": by}.values()]


def parse_since(text: str) -> datetime | None:
    """Parse a day or a moment in ISO 8601; the default zone is UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        fail(f"{text!r} is not a time such as 2026-11-25 or 2026-11-25T22:00Z.", WRONG_USAGE)


def check_filters(request: str, actor: str, event: str) -> None:
    """Reject filters that no event can match because they are mistyped."""
    if event and event not in set(EventName):
        known = ", ".join(sorted(EventName))
        fail(f"There is no event {event!r}; there are: {known}.", WRONG_USAGE)
    if request and not REQUEST_ID.fullmatch(request):
        fail(f"{request!r} is not the id of a request: see its card.", WRONG_USAGE)
    if actor and not ACTOR_ID.fullmatch(actor):
        fail(f"{actor!r} is not a Slack user id (U012AB3CD), nor cli:ACCOUNT.", WRONG_USAGE)


async def with_database(use: Callable[[Database], Awaitable[T]]) -> T:
    """Call `use` with the database, which is only read, never created or migrated."""
    with failing_on(SettingsError, code=WRONG_USAGE):
        url = load_database_url()
    if missing := missing_file(url):
        fail(f"There is no audit log yet: {missing} does not exist. Check DATABASE_URL.")
    database = Database(url, read_only=True)
    try:
        if await database.read_snapshot(known_version):
            return await use(database)
        fail("There is no audit log yet: the database is empty. Check DATABASE_URL.")
    except DatabaseUnreadable as error:
        fail(str(error))
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


async def write(events: Events, how: OutputFormat, out: TextIO) -> int:
    """Write events to `out`, and return how many are damaged; JSON lines and CSV are streamed."""
    if how is not OutputFormat.TABLE:
        columns = dict.fromkeys(OWN_FIELDS)
        if how is OutputFormat.CSV:  # a column for each field that any of the events has
            async for event in events():
                columns |= dict.fromkeys(readable_fields(event)[0])
        return await _write_each(events, fields_writer(how, out, tuple(columns)))
    rows: list[list[str]] = []
    damaged = await _write_each(events, lambda fields: rows.append(_cells(fields)))
    if rows:
        write_table(("When (UTC)", "Event", "Request", "Who", "Details"), rows, out)
    else:
        out.write("No event of the audit log matches.\n")
    return damaged


async def _write_each(events: Events, write_fields: FieldsWriter) -> int:
    damaged = 0
    async for event in events():
        fields, is_damaged = readable_fields(event)
        write_fields(fields)
        damaged += is_damaged
    return damaged


def fields_writer(how: OutputFormat, out: TextIO, columns: Sequence[str]) -> FieldsWriter:
    """Return a function that writes the fields of one event as a JSON line or a row of CSV."""
    if how is OutputFormat.JSON:
        return lambda fields: write_json(fields, out)
    writer = csv.DictWriter(out, columns, restval="")
    writer.writerow({name: printable(name) for name in columns})
    return lambda fields: writer.writerow({name: _cell(each) for name, each in fields.items()})


def _cell(value: object) -> object:
    """Return a value as text that a spreadsheet does not evaluate as a formula."""
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _cells(fields: Mapping[str, Any]) -> list[str]:
    when = str(fields["at"])[:19].replace("T", " ")
    details = ", ".join(f"{name} {fields[name]}" for name in DETAILS if fields.get(name))
    actor, request = fields["actor"] or "the bot", fields["request"] or ""
    cells = (when, fields["event"], request, actor, details)
    return [str(each) for each in cells]
