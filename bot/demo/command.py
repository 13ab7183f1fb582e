"""What the command `demo` does: the page, or the script in the terminal."""

import asyncio
from dataclasses import dataclass
from typing import TextIO

import typer

from bot.app import StartError
from bot.cli.output import WRONG_USAGE, fail, failing_on
from bot.demo.scenarios import SCENARIOS, first_for
from bot.demo.script import play_all, play_scenario
from bot.demo.script_session import ScriptFailed
from bot.demo.server import run_demo
from bot.log_config import configure_logging

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """The options of the command."""

    port: int | None
    approvals: int | None
    fault: str
    is_script: bool
    plays_all: bool
    as_json: bool
    opens_browser: bool


def run(options: DemoOptions, out: TextIO) -> None:
    """Run the demo until it ends or is interrupted."""
    _check(options)
    configure_logging("WARNING")
    approvals = options.approvals or 0
    scenario = options.fault or first_for(approvals)
    with failing_on(ScriptFailed, StartError):
        if options.plays_all:
            asyncio.run(play_all(out))
        elif options.is_script:
            asyncio.run(play_scenario(scenario, out, approvals))
        else:
            typer.echo("Starting …", err=True)
            asyncio.run(
                run_demo(
                    out,
                    port=DEFAULT_PORT if options.port is None else options.port,
                    approvals=approvals,
                    scenario=scenario,
                    as_json=options.as_json or not out.isatty(),
                    browser=options.opens_browser and out.isatty(),
                )
            )


def _check(options: DemoOptions) -> None:
    """End the command where options contradict each other."""
    if options.fault and options.fault not in SCENARIOS:
        known = ", ".join(sorted(SCENARIOS))
        fail(f"There is no fault {options.fault!r}; there are: {known}.", WRONG_USAGE)
    serves_page = options.port is not None or options.as_json
    if options.is_script and serves_page:
        fail("--script serves no page: leave out --port and --json.", WRONG_USAGE)
    if options.plays_all and (not options.is_script or options.fault):
        fail("--all belongs to --script, without --fault.", WRONG_USAGE)
