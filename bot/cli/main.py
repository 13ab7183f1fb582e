"""The command line. Errors are one or two sentences on standard error, never a traceback."""

import asyncio
import gc
import sys
from importlib.metadata import version
from typing import Annotated

import structlog
import typer

from bot.cli import audit
from bot.cli.cancel import cancel_download
from bot.cli.list import list_downloads
from bot.cli.output import FAILED, WRONG_USAGE, fail, failing_on
from bot.log_config import SILENT, configure_logging, redact
from bot.settings import SettingsError, load_settings
from bot.tasks import stop_event

log = structlog.get_logger(__name__)

app = typer.Typer(
    name="cancel-restore",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors are sentences, not boxes
    add_completion=False,
)
app.add_typer(audit.app, name="audit", short_help="Write the record, or verify it.")
app.command("list", short_help="List the downloads that are not over.")(list_downloads)
app.command("cancel", short_help="Cancel a download, without Slack.")(cancel_download)


def print_version(requested: bool) -> None:
    if requested:
        typer.echo(version("cancel-restore"))
        raise typer.Exit


@app.callback()
def every_command(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Cancel downloads of MongoDB Atlas backups from Slack, safely and on record."""


@app.command("serve", short_help="Run the bot.")
def serve() -> None:
    """Run the bot until SIGTERM or SIGINT."""
    # Loading Slack's framework would add 0.3 s to each other command.
    from bot.app import Bot, StartError  # noqa: PLC0415

    with failing_on(SettingsError, code=WRONG_USAGE):
        settings = load_settings(needs_slack=True)
    configure_logging(settings.log_level, settings.log_format)
    redact(settings.secrets)
    for warning in (*settings.warnings, *settings.risks):
        log.warning("setting needs attention", why=warning)

    async def run() -> None:
        await Bot(settings).run(stop_event())

    with failing_on(StartError):
        asyncio.run(run())
    # Else the interpreter frees each object before it exits: a second on a busy machine, of five.
    gc.freeze()


@app.command(short_help="Run everything on this machine, with fake servers.")
def demo(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the page.", show_default="8080")
    ] = None,
    approvals: Annotated[
        int | None,
        typer.Option(min=0, max=5, help="How many people must approve.", show_default="0"),
    ] = None,
    fault: Annotated[
        str,
        typer.Option(
            help="A fault of the fake Atlas or another scenario, such as down. "
            "A name that does not exist lists all of them.",
            show_default=False,
        ),
    ] = "",
    *,
    script: Annotated[
        bool, typer.Option("--script", help="Play the first scenario in the terminal.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="With --script: every scenario of the menu.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the addresses as a JSON line.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page in a browser.")
    ] = False,
) -> None:
    """Run everything on this machine, with fake Slack and Atlas servers: no account anywhere."""
    try:
        from bot.demo.command import DemoOptions, run  # noqa: PLC0415 - the image has no demo
    except ModuleNotFoundError:
        fail("This installation has no demo: install the package from its sources.", FAILED)
    options = DemoOptions(
        port=port,
        approvals=approvals,
        fault=fault,
        is_script=script,
        plays_all=every,
        as_json=as_json,
        opens_browser=not no_browser,
    )
    run(options, sys.stdout)


@app.command(short_help="Check what the bot needs; change nothing.")
def doctor(
    *, as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")] = False
) -> None:
    """Ask the real services, and say what to fix. Exit 0 only without a problem."""
    from bot.doctor.run import run_doctor  # noqa: PLC0415 - it loads Slack's client

    with failing_on(SettingsError, code=WRONG_USAGE):
        settings = load_settings(needs_slack=False)
    configure_logging(SILENT, has_records=False)  # the report has the errors
    redact(settings.secrets)
    if not asyncio.run(run_doctor(settings, sys.stdout, as_json=as_json)):
        raise typer.Exit(FAILED)
