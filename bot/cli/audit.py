"""`cancel-restore audit`: writes the record as JSON Lines, or verifies its hash chain."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.exc import SQLAlchemyError

from bot.cancellation.errors import StorageError
from bot.cli.common import database_problem, has_tables, missing_file, settings_without_slack
from bot.cli.output import WRONG_USAGE, OutputFormat, fail, format_of, write_json
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database, wall_clock
from bot.storage.migrate import SchemaError

#: Seconds for one page of events, or for the whole chain.
TIMEOUT = 300.0
DAMAGED = "An event of the record was changed and cannot be read: `audit verify` names it."
EXAMPLE = "2026-12-02 or 2026-12-02T22:00Z"
T = TypeVar("T")

app = typer.Typer()


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(help=f"From this time on: {EXAMPLE}.", show_default=False)
    ] = "",
    until: Annotated[str, typer.Option(help="Before this time, UTC.", show_default=False)] = "",
) -> None:
    """Write each event as a line of JSON: who asked, who decided, what Atlas answered."""
    after, before = parse_time(since), parse_time(until)
    if context.invoked_subcommand:
        if since or until:
            fail("verify recomputes the whole chain: leave out --since and --until.", WRONG_USAGE)
        return

    async def write(log: AuditLog) -> None:
        last = 0
        while page := await read_page(log, last, after, before):
            for last, line in page:  # noqa: B007 - the number of the last event continues
                write_json(line, sys.stdout)

    asyncio.run(with_log(write))


@app.command(short_help="Recompute the hash chain.")
def verify() -> None:
    """Recompute the hash chain; exit 1 and the first event that is not intact."""

    async def check(log: AuditLog) -> None:
        found = await log.verify()
        if found.broken:
            fail(f"The record is not intact: {found.broken} was changed, removed or reordered.")
        if format_of("") is OutputFormat.JSON:
            fields = {"events": found.count, "last_hash": found.last_hash or None}
            write_json(fields, sys.stdout)
        else:
            typer.echo(f"{found.count} events, intact. Last hash: {found.last_hash or 'none'}")

    asyncio.run(with_log(check))


async def read_page(
    log: AuditLog, after: int, since: datetime | None, until: datetime | None
) -> list[tuple[int, dict[str, Any]]]:
    """Read the next events; one whose text is not that of an event ends the command."""
    try:
        return await log.page(after, since, until)
    except (ValueError, TypeError):  # of its JSON
        fail(DAMAGED)


def parse_time(text: str) -> datetime | None:
    """Parse a day or a moment in ISO 8601; the default zone is UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        fail(f"{text!r} is not a time such as {EXAMPLE}.", WRONG_USAGE)


async def with_log(use: Callable[[AuditLog], Awaitable[T]]) -> T:
    """Call `use` with the audit log of a database that exists; nothing is created."""
    settings = settings_without_slack()
    try:
        missing = missing_file(settings)
        is_stored = await has_tables(settings)
    except (SchemaError, SQLAlchemyError, OSError) as error:
        fail(database_problem(error))
    if missing:
        fail(f"There is no record yet: {missing} does not exist or is empty. Check DATABASE_URL.")
    if not is_stored:
        fail("There is no record yet: the database is empty. Check DATABASE_URL.")
    database = Database(settings.database_url.get_secret_value(), timeout=TIMEOUT)
    try:
        return await use(AuditLog(database, wall_clock, None))
    except StorageError as error:
        fail(database_problem(error))
    finally:
        await database.close()
