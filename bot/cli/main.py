"""The command line. Errors are one or two sentences on standard error, never a traceback.

What the demo or `doctor` alone need is loaded when they run: the bot starts sooner without it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import structlog
import typer

from bot.app import serve
from bot.cancellation.errors import RecordUnreadable
from bot.cancellation.events import EventName
from bot.cli import audit_format
from bot.log_config import configure_logging, redact
from bot.settings import SettingsError, load_database_url, load_settings, warnings
from bot.slack.manifest import AddressError, manifest
from bot.startup_checks import StartError
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.migrate import SchemaError, has_tables
from bot.tracing import TracingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

T = TypeVar("T")

FAILED = 1
WRONG_SETTINGS = 2

log = structlog.get_logger(__name__)

app = typer.Typer(
    name="cancel-restore",
    help="Cancel MongoDB Atlas backup-restore jobs from Slack, safely and on record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors are sentences, not boxes
)
record = typer.Typer(invoke_without_command=True, help="Show the record, or verify it.")
app.add_typer(record, name="audit")


def say_version(*, wanted: bool) -> None:
    """Print the version of what is installed, and end."""
    if wanted:
        typer.echo(version("cancel-restore"))
        raise typer.Exit


@app.callback()
def every_command(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda wanted: say_version(wanted=wanted), is_eager=True
        ),
    ] = False,
) -> None:
    """Cancel MongoDB Atlas backup-restore jobs from Slack, safely and on record."""


def give_up(text: str, code: int) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)


def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` and turn the errors of starting into sentences."""
    try:
        asyncio.run(work)
    except TracingError as error:
        give_up(str(error), WRONG_SETTINGS)
    except StartError as error:
        give_up(str(error), FAILED)


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped


@app.command("serve", short_help="Run the bot.")
def serve_command() -> None:
    """Run the bot until SIGTERM or SIGINT; finish what is in flight, lose nothing."""
    try:
        settings = load_settings()
    except SettingsError as error:
        give_up(str(error), WRONG_SETTINGS)
    configure_logging(settings.log_level, settings.log_format)
    redact(settings.secrets)
    for warning in warnings(settings):
        log.warning("a setting to look at", why=warning)

    async def run() -> None:
        await serve(settings, stop_signal())

    until_stopped(run())


@app.command(short_help="Run everything on this machine, with stand-ins.")
def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the page and the Slack stand-in listen.")
    ] = 8080,
    approvals: Annotated[
        int, typer.Option(min=0, max=5, help="How many other people must approve.")
    ] = 0,
    fault: Annotated[str, typer.Option(help="What goes wrong at Atlas: slow, cut-after, …")] = "",
    *,
    script: Annotated[
        bool, typer.Option("--script", help="Play one cancellation, print it, and end.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page in a browser.")
    ] = False,
) -> None:
    """Run everything on this machine, with stand-ins of Slack and Atlas: no account anywhere."""
    from bot.demo.script import ScriptFailed, play_script
    from bot.demo.server import run_demo
    from bot.sandbox.atlas import PRESETS

    if fault and fault not in PRESETS:
        give_up(f"There is no fault {fault!r}; there are: {', '.join(sorted(PRESETS))}.", 2)
    configure_logging("WARNING")
    if script:
        try:
            until_stopped(play_script(sys.stdout, approvals=approvals, fault=fault))
        except ScriptFailed as error:
            give_up(str(error), FAILED)
        return

    async def run() -> None:
        await run_demo(
            sys.stdout, stop_signal(), port=port, approvals=approvals, fault=fault,
            browser=not no_browser,
        )  # fmt: skip

    until_stopped(run())


@app.command(short_help="Check what the bot needs; change nothing.")
def doctor(
    *, as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")] = False
) -> None:
    """Check everything that the bot needs against the real services; nothing is changed."""
    from bot.doctor import is_well, run_checks, settings_findings, write_json, write_lines

    try:
        settings = load_settings()
    except SettingsError as error:
        if as_json:
            write_json(settings_findings(error.problems), sys.stdout)
        give_up(str(error), WRONG_SETTINGS)
    configure_logging("CRITICAL")  # what goes wrong is told as a finding
    redact(settings.secrets)
    findings = asyncio.run(run_checks(settings))
    (write_json if as_json else write_lines)(findings, sys.stdout)
    if not is_well(findings):
        raise typer.Exit(FAILED)


@app.command("manifest", short_help="Print the Slack app's manifest.")
def manifest_command(
    http: Annotated[
        str | None, typer.Option(help="Where Slack reaches the bot, as https://bot.example.com.")
    ] = None,
) -> None:
    """Print the Slack app's manifest: for Socket Mode, or for HTTP at an address."""
    try:
        typer.echo(manifest(http), nl=False)
    except AddressError as error:
        give_up(str(error), WRONG_SETTINGS)


def read_since(text: str) -> datetime | None:
    """Read a day or a moment in ISO 8601; without a zone it is UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        give_up(f"{text!r} is no time: write a day such as 2026-11-25, or 2026-11-25T22:00Z.", 2)


@record.callback()
def show_record(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="A day or a moment in ISO 8601.")] = "",
    request: Annotated[str, typer.Option(help="Only the request with this id.")] = "",
    actor: Annotated[str, typer.Option(help="Only what this Slack user id did.")] = "",
    *,
    event: Annotated[str, typer.Option(help="Only this event, as request:created.")] = "",
    how: Annotated[
        audit_format.Format, typer.Option("--format", help="How to write it.")
    ] = audit_format.Format.TABLE,
) -> None:
    """Show who asked for what, who decided, and what Atlas answered."""
    if context.invoked_subcommand:
        return
    wanted = {"request": request, "actor": actor, "event": event}
    equal = {name: value for name, value in wanted.items() if value}
    moment = read_since(since)
    if event and event not in set(EventName):
        give_up(f"There is no event {event!r}; there are: {', '.join(sorted(EventName))}.", 2)
    if request and not audit_format.REQUEST.fullmatch(request):
        give_up(f"{request!r} is no id of a request: the log and the record have it.", 2)
    if actor and not audit_format.PERSON.fullmatch(actor):
        give_up(f"{actor!r} is no id of a person in Slack, such as U012AB3CD: names can change.", 2)

    async def show(found: AuditLog) -> None:
        await audit_format.write(found.events(moment, **equal), how, sys.stdout)

    asyncio.run(with_record(show))


@record.command(short_help="Check that no event was changed or removed.")
def verify() -> None:
    """Check that no event was changed or removed; exit 1 and name the first that was."""

    async def check(found: AuditLog) -> int:
        breaks = await found.breaks()
        checked = await found.count()
        for each in breaks:
            typer.echo(f"The record is broken: {each}.", err=True)
        if not breaks:
            typer.echo(f"The record is whole: none of {checked} events was changed or removed.")
        return len(breaks)

    if asyncio.run(with_record(check)):
        raise typer.Exit(FAILED)


async def with_record(use: Callable[[AuditLog], Awaitable[T]]) -> T:
    """Open the ledger's database for reading only; it is never created or migrated here."""
    try:
        url = load_database_url()
    except SettingsError as error:
        give_up(str(error), WRONG_SETTINGS)
    if missing := missing_file(url):
        give_up(f"There is no record yet: {missing} does not exist. Check DATABASE_URL.", FAILED)
    database = Database(url)
    try:
        if await database.survey(has_tables):
            return await use(AuditLog(database))
        give_up("There is no record yet: the database is empty. Check DATABASE_URL.", FAILED)
    except RecordUnreadable as error:
        give_up(error.sentence, FAILED)
    except SchemaError as error:
        give_up(f"The database of DATABASE_URL cannot be used. {error}", FAILED)
    finally:
        await database.close()


def missing_file(url: str) -> Path | None:
    """Return the file of a SQLite database that does not exist."""
    path = Path(url.removeprefix("sqlite:///"))
    try:
        return path if url.startswith("sqlite:///") and not path.exists() else None
    except OSError:
        return None  # a path that cannot even be looked at: the database says why
