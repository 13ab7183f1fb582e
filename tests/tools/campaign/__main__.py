"""Runs the campaigns: `python -m tests.tools.campaign [NAME …] [--seed N] [--minutes M] [--short]`.

Exit code: 0 without violations, 1 with violations or after an interrupted campaign, 2 for wrong
usage, 130 after a signal. The evidence of a violation stays in a folder, whose name is
printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from tests.support.argument_types import amount, count
from tests.support.sigterm import exit_on_sigterm
from tests.tools.campaign.options import Options
from tests.tools.reporting import machine, pages
from tests.tools.reporting.registry import INTERRUPTED, Registry, show, wide_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

CAMPAIGNS = Registry("campaign", "run", "campaign")

#: Minutes and requests, long and short.
LONG, SHORT = (18.0, 1000), (0.5, 60)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    about = "Runs the bot under injected faults, on this machine, over loopback."
    parser = CAMPAIGNS.parser(about)
    add = parser.add_argument
    add("--seed", type=int, help="the random seed (default: the time)")
    add("--minutes", type=amount, help=f"how long (default: {LONG[0]:g})")
    add("--requests", type=count, help=f"how many requests (default: {LONG[1]})")
    add("--short", action="store_true", help=f"{SHORT[1]} requests in {60 * SHORT[0]:g} seconds")
    tables = "write the goals there, between its markers"
    add("--markdown", type=pages.page_at, metavar="FILE", help=tables)
    asked = CAMPAIGNS.parse(parser, given)
    if asked.short and (asked.minutes or asked.requests):
        parser.error("--short sets duration and number: leave out --minutes and --requests")
    if asked.short and asked.markdown:
        parser.error(
            "--short tests that all campaigns run; its figures must not be written to a file"
        )
    if asked.markdown:
        pages.require_committed(parser)
    asked.seed = int(time.time()) if asked.seed is None else asked.seed
    return asked


def options_of(asked: argparse.Namespace) -> Options:
    minutes, requests = SHORT if asked.short else LONG
    return Options(
        seed=asked.seed,
        minutes=asked.minutes or minutes,
        requests=asked.requests or requests,
        folder=asked.folder,
    )


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    asked.folder = Path(tempfile.mkdtemp(prefix="cancel-restore-campaign-"))
    console = wide_console()
    console.print(escape("\n".join(machine.lines())), highlight=False)
    code = INTERRUPTED
    with suppress(KeyboardInterrupt):
        held = [run_one(name, asked, console) for name in asked.names]
        code = 0 if all(held) else 1
    if code:
        console.print(f"seed {asked.seed}, evidence in {asked.folder}", style="red")
    else:
        shutil.rmtree(asked.folder)
    return code


def run_one(name: str, asked: argparse.Namespace, console: Console) -> bool:
    """Run one campaign, print its tables, and return whether all goals were held."""
    options = options_of(asked)
    console.rule(f"{name}: {options.line}")
    report = CAMPAIGNS.run(name, options)
    show(console, report)
    if asked.markdown:
        pages.write(asked.markdown, report, machine.measured())
    return report.held


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main())
