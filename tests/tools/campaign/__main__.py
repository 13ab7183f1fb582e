"""Runs the campaigns: `python -m tests.tools.campaign [NAME …] [--seed N] [--minutes M] [--short]`.

Exit code: 0 without violations, 1 with violations or after an interrupted campaign, 2 for wrong
usage, 130 after a signal. The evidence of a violation stays in a folder, whose name is
printed.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from tests.support.argument_types import amount, count
from tests.support.sigterm import exit_on_sigterm
from tests.tools.bench import machine, pages
from tests.tools.bench.__main__ import INTERRUPTED, show, wide_console
from tests.tools.bench.report import Missing, Report
from tests.tools.campaign.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

HERE = Path(__file__).parent

#: Minutes and requests, long and short, and the minutes of what takes longer.
LONG, SHORT = (18.0, 1000), (0.5, 60)
LONGER = {"soak": 30.0}
USUAL = ", ".join([f"{LONG[0]:g}", *(f"{name}: {much:g}" for name, much in LONGER.items())])


def campaigns() -> dict[str, str]:
    """Return each module of this package that has `run`, with its docstring's first line."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        tree = ast.parse(path.read_text())
        if "run" in (node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    known = campaigns()
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.campaign",
        description="Runs the bot under injected faults, on this machine, over loopback.",
        epilog="\n".join(f"{name:13} {sentence}" for name, sentence in known.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="which (default: all)")
    add("--seed", type=int, help="the random seed (default: the time)")
    add("--minutes", type=amount, help=f"how long (default: {USUAL})")
    add("--requests", type=count, help=f"how many requests (default: {LONG[1]})")
    add("--rate", type=amount, default=20.0, help="soak: cancellations a second (default: 20)")
    add("--short", action="store_true", help=f"{SHORT[1]} requests in {60 * SHORT[0]:g} seconds")
    tables = "write the tables there, between its markers"
    add("--markdown", type=pages.page_at, metavar="FILE", help=tables)
    asked = parser.parse_args(given)
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no such campaign: {', '.join(unknown)} (known: {', '.join(known)})")
    if asked.short and (asked.minutes or asked.requests):
        parser.error("--short says how long and how many: leave out --minutes and --requests")
    if asked.short and asked.markdown:
        parser.error("--short shows that all of it runs; its figures are none for a page")
    asked.names = asked.names or list(known)
    asked.seed = int(time.time()) if asked.seed is None else asked.seed
    return asked


def options_of(asked: argparse.Namespace, name: str) -> Options:
    minutes, requests = SHORT if asked.short else (LONGER.get(name, LONG[0]), LONG[1])
    return Options(
        seed=asked.seed,
        minutes=asked.minutes or minutes,
        requests=asked.requests or requests,
        rate=asked.rate,
        folder=asked.folder,
    )


def run(name: str, options: Options) -> Report:
    """Run one campaign; its failure is reported, and the others still run."""
    try:
        module = importlib.import_module(f"tests.tools.campaign.{name}")
        return Report(name, asyncio.run(module.run(options)))
    except Missing as error:
        return Report(name, error=str(error))
    except Exception as error:  # noqa: BLE001 - any error is shown and fails the run
        traceback.print_exc()
        return Report(name, error=f"{type(error).__name__}: {error}")


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    asked.folder = Path(tempfile.mkdtemp(prefix="cancel-restore-campaign-"))
    console = wide_console()
    about = machine.lines()
    console.print(escape("\n".join(about)), highlight=False)
    code = INTERRUPTED
    with suppress(KeyboardInterrupt):
        held = [run_one(name, asked, about, console) for name in asked.names]
        code = 0 if all(held) else 1
    if code:
        console.print(f"seed {asked.seed}, evidence in {asked.folder}", style="red")
    else:
        shutil.rmtree(asked.folder)
    return code


def run_one(name: str, asked: argparse.Namespace, about: Sequence[str], console: Console) -> bool:
    """Run one campaign, print its tables, and return whether all goals were held."""
    options = options_of(asked, name)
    console.rule(f"{name}: {options.line}")
    report = run(name, options)
    show(console, report)
    if asked.markdown:
        pages.write(asked.markdown, report, [*about, options.line])
    return report.held


if __name__ == "__main__":
    exit_on_sigterm()
    sys.exit(main())
