"""The command line. Errors are one or two sentences on standard error, never a traceback."""

import asyncio
import gc
import json
import re
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Literal, TypeAlias

import structlog
import typer

from bot.cli import audit
from bot.cli.cancel import cancel_job
from bot.cli.jobs import list_jobs, show_job
from bot.cli.output import FAILED, WRONG_USAGE, fail, failing_on
from bot.cli.report import READ_FIRST, read_history, report_lines
from bot.doctor.results import CheckResult, is_ok, write_json, write_lines
from bot.doctor.run import NO_SLACK, run_checks, settings_results, settings_risks
from bot.log_config import configure_logging, redact
from bot.settings import Settings, SettingsError, load_settings, warnings
from bot.settings.load import missing_slack_variables
from bot.settings.model import slash_command
from bot.settings.schema import json_schema
from bot.slack.manifest import manifest
from bot.startup_checks import StartError
from bot.tasks import cancel_and_wait, stop_event
from bot.timings import DEFAULT_TIMINGS, Timings

#: Addresses that Slack accepts and that need no quoting in YAML.
ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*[A-Za-z0-9])?")

log = structlog.get_logger(__name__)

app = typer.Typer(
    name="cancel-restore",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors are sentences, not boxes
)
app.add_typer(audit.app, name="audit")
app.command("list", short_help="List the downloads that can be cancelled.")(list_jobs)
app.command("show", short_help="Show one job.")(show_job)
app.command("cancel", short_help="Cancel a download, without Slack.")(cancel_job)


def print_version(requested: bool) -> None:
    if requested:
        typer.echo(version("cancel-restore"))
        raise typer.Exit


@app.callback()
def every_command(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Cancel downloads of MongoDB Atlas backups from Slack, safely and on record."""


@app.command("serve", short_help="Run the bot.")
def serve_command() -> None:
    """Run the bot until SIGTERM or SIGINT; the shutdown finishes or releases work in flight."""
    run_bot()


def run_bot(timings: Timings = DEFAULT_TIMINGS) -> None:
    """Load the settings, configure logging, and run the bot; tests pass shorter timings."""
    with failing_on(SettingsError, code=WRONG_USAGE):
        settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    redact(settings.secrets)
    for warning in warnings(settings):
        log.warning("setting needs attention", why=warning)
    with failing_on(StartError):
        asyncio.run(run_until_stopped(settings, timings))
    # Else the interpreter frees each object before it exits: a second on a busy machine, of ten.
    gc.freeze()


async def run_until_stopped(settings: Settings, timings: Timings) -> None:
    """Run the bot until SIGTERM or SIGINT; raises the errors of `Bot.start`."""
    # Loading Slack's framework would add 0.3 s to each other command.
    from bot.app import Bot  # noqa: PLC0415 - see above

    stop = stop_event()
    bot = Bot(settings, timings=timings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, bot.reload_requested.set)
    starting = asyncio.create_task(bot.start())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
        await waiting
    finally:
        await cancel_and_wait(starting, waiting)
        await bot.stop()


@app.command(short_help="Run everything on this machine, with fake servers.")
def demo(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the page.", show_default="8080")
    ] = None,
    approvals: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=5,
            help="How many people must approve.",
            show_default="0, and 1 with --script",
        ),
    ] = None,
    fault: Annotated[str, typer.Option(help="Fault of the fake Atlas: slow, cut-after, …")] = "",
    *,
    script: Annotated[
        bool, typer.Option("--script", help="Print one cancellation as it happens, and exit.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="With --script: every scenario of the page.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write the addresses as JSON, as where no terminal reads it."),
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page in a browser.")
    ] = False,
) -> None:
    """Run everything on this machine, with fake Slack and Atlas servers: no account anywhere."""
    # Loading the demo and the fake servers would add 0.2 s to each start of the bot.
    from bot.demo.script import play_all, play_scenario, story  # noqa: PLC0415
    from bot.demo.script_session import ScriptFailed  # noqa: PLC0415
    from bot.demo.server import run_demo  # noqa: PLC0415
    from bot.sandbox.atlas import PRESETS  # noqa: PLC0415

    if fault and fault not in PRESETS:
        known = ", ".join(sorted(PRESETS))
        fail(f"There is no fault {fault!r}; there are: {known}.", WRONG_USAGE)
    if script and (port is not None or as_json or no_browser):
        given = "--json" if as_json else "--no-browser" if no_browser else "--port"
        fail(f"--script serves no page, so {given} has no effect: leave one out.", WRONG_USAGE)
    if every and (not script or fault or approvals is not None):
        fail("--all belongs to --script, without --fault and --approvals.", WRONG_USAGE)
    configure_logging("WARNING")
    with failing_on(ScriptFailed, StartError):
        if every:
            asyncio.run(play_all(sys.stdout))
        elif script:
            asyncio.run(play_scenario(fault or story(approvals), sys.stdout, approvals or 0))
        else:
            typer.echo("Starting …", err=True)
            run = run_demo(
                sys.stdout,
                port=8080 if port is None else port,
                approvals=approvals or 0,
                fault=fault,
                as_json=as_json or not sys.stdout.isatty(),
                browser=not no_browser,
            )
            asyncio.run(run)


DoctorFormat: TypeAlias = Literal["lines", "json", "report"]


@app.command(short_help="Check what the bot needs; change nothing.")
def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")] = False,
    as_report: Annotated[
        bool, typer.Option("--report", help="Write what may be sent to others: no names or ids.")
    ] = False,
) -> None:
    """Check everything that the bot needs against the real services; nothing is changed.

    Without any setting of Slack the rest is checked, and a warning says that Slack is not set up.
    Exit codes: 0 no problem, 1 a problem, 2 wrong or missing settings.

    \u0008
    Examples:
    cancel-restore doctor
    cancel-restore doctor --json
    cancel-restore doctor --report
    """
    if as_json and as_report:
        fail("--report is text for people: leave out --json.", WRONG_USAGE)
    form: DoctorFormat = "json" if as_json else "report" if as_report else "lines"
    try:
        is_well = report(load_settings(), (), form)
    except SettingsError as error:
        is_well = report_without_slack(error, form)
    if not is_well:
        raise typer.Exit(FAILED)


def report_without_slack(error: SettingsError, form: DoctorFormat) -> bool:
    """Check the rest where only Slack's settings are missing; other errors end the command.

    Those of Slack are errors only once one of them is set.
    """
    missing = {*missing_slack_variables({})}
    begun = not missing <= {*error.problems}
    try:
        settings = load_settings(needs_slack=False)
    except SettingsError as others:
        error = error if begun else others
        if form == "json":
            write_json(settings_results(error.problems), sys.stdout)
        fail(str(error), WRONG_USAGE)
    found = settings_results(error.problems)
    if not begun:
        found = [NO_SLACK, *settings_risks(each for each in error.problems if each not in missing)]
    is_well = report(settings, found, form)
    if begun:
        raise typer.Exit(WRONG_USAGE)  # the report has the errors
    return is_well


def report(settings: Settings, found: Sequence[CheckResult], form: DoctorFormat) -> bool:
    """Run the checks and write their results with those `found` already."""
    configure_logging("CRITICAL")  # the report has the errors
    redact(settings.secrets)
    results = asyncio.run(run_checks(settings, found=found))
    if form == "report":
        history = asyncio.run(read_history(settings))
        if not sys.stdout.isatty():
            typer.echo(READ_FIRST, err=True)
        sys.stdout.writelines(f"{line}\n" for line in report_lines(results, settings, history))
    else:
        (write_json if form == "json" else write_lines)(results, sys.stdout)
    return is_ok(results)


@app.command("manifest", short_help="Print the Slack app's manifest.")
def manifest_command(
    http: Annotated[
        str | None, typer.Option(help="Where Slack reaches the bot, as https://bot.example.com.")
    ] = None,
    command: Annotated[
        str, typer.Option(help="The slash command: BOT_COMMAND.")
    ] = "/cancel-restore",
) -> None:
    """Print the Slack app's manifest: for Socket Mode, or for HTTP at an address."""
    try:
        name = slash_command(command)
    except ValueError as error:
        fail(f"--command {error}.", WRONG_USAGE)
    if http is not None and not ADDRESS.fullmatch(http):
        fail("--http must be an address such as https://bot.example.com.", WRONG_USAGE)
    typer.echo(manifest(name, http), nl=False)


@app.command("schema", short_help="Print the JSON Schema of the projects file.")
def schema_command() -> None:
    """Print the JSON Schema of the projects file (BOT_PROJECTS_FILE), for editors."""
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
