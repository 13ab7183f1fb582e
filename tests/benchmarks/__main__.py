"""Runs the benchmarks: `python -m tests.benchmarks [NAME …] [--json FILE] [--page FILE]`.

Exit code: 0 if every goal is met, 1 if one is missed.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import structlog
from rich.console import Console
from rich.table import Table

from tests.benchmarks import ack, burst, cancellation, detection, footprint, history, start
from tests.benchmarks.environment import Options
from tests.benchmarks.older import checked_out
from tests.benchmarks.results import Figure, commit_id, machine, page, record, today
from tests.support.sigterm import exit_on_sigterm

MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (ack, burst, cancellation, detection, footprint, history, start)
}


def main(given: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(given)
    # Stores that run in this process log each event.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=110)
    run = {"commit": commit_id(), "machine": machine(), "date": today()}
    console.print(", ".join(run.values()), highlight=False)
    missed = False
    tree = checked_out(arguments.old) if arguments.old else nullcontext()
    with tree as old:
        others = {arguments.old: old} if old else {}
        options = Options(is_quick=arguments.quick, is_long=arguments.long, old=others)
        for name in arguments.names or MODULES:
            load = os.getloadavg()[0]
            figures = asyncio.run(MODULES[name].measure(options))
            console.print(_table(name, figures))
            missed = missed or any(figure.misses_goal for figure in figures)
            if arguments.json:
                record(arguments.json, run, name, figures, load)
    if arguments.page:
        arguments.page.write_text(
            page(
                arguments.json,
                {name: _subject(module) for name, module in MODULES.items()},
            )
        )
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*MODULES, []])
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the figures to this trend")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the last run of the trend")
    parser.add_argument("--old", metavar="COMMIT", help="measure the bot of this commit, too")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="only test that everything starts")
    scale.add_argument("--long", action="store_true", help="more rounds, a million requests")
    return parser


def _subject(module: ModuleType) -> str:
    """Return the first paragraph about a benchmark; its module has the method."""
    return (module.__doc__ or "").strip().partition("\n\n")[0]


def _table(name: str, figures: Sequence[Figure]) -> Table:
    table = Table(name, "measured", "goal")
    for figure in figures:
        table.add_row(*figure.cells)
    return table


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main())
