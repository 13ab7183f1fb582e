"""Runs the benchmarks: `python -m tests.tools.bench [NAME …] [--quick] [--markdown FILE]`.

Exit code: 0 when every goal held, 1 when one did not or a benchmark failed, 2 for wrong usage,
130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from tests.support.sigterm import exit_on_sigterm
from tests.tools.bench import machine, pages
from tests.tools.bench.report import Missing, Report, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent

#: The exit code after SIGINT, as in a shell.
INTERRUPTED = 130

#: Width of the widest table, in characters.
WIDE = 150


def benchmarks() -> dict[str, str]:
    """Return each module of this package that has `measure`, with its docstring's first line."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        tree = ast.parse(path.read_text())
        functions = (node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef))
        if "measure" in functions:
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    known = benchmarks()
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.bench",
        description="Measures the bot and its peers on this machine, over loopback.",
        epilog="\n".join(f"{name:14} {sentence}" for name, sentence in known.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, to test that all benchmarks run"
    )
    tables = "write the tables to this file, between its markers"
    parser.add_argument("--markdown", type=pages.page_at, metavar="FILE", help=tables)
    asked = parser.parse_args(given)
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no such benchmark: {', '.join(unknown)} (known: {', '.join(known)})")
    if asked.quick and asked.markdown:
        parser.error(
            "--quick only tests that all benchmarks run; its figures must not be written to a file"
        )
    asked.names = asked.names or list(known)
    return asked


def run(name: str, scale: Scale) -> Report:
    """Run one benchmark; its failure is reported, and the others still run."""
    try:
        module = importlib.import_module(f"tests.tools.bench.{name}")
        return Report(name, asyncio.run(module.measure(scale)))
    except Missing as error:
        return Report(name, error=str(error))
    except Exception as error:  # noqa: BLE001 - any error is shown and fails the run
        traceback.print_exc()
        return Report(name, error=f"{type(error).__name__}: {error}")


def wide_console() -> Console:
    """Return a console that never cuts off tables, even in a file or a narrow window."""
    console = Console()
    console.width = max(console.width, WIDE)
    return console


def show(console: Console, report: Report) -> None:
    for table in report.tables:
        console.print(table.rich())
        for goal in table.goals:
            console.print(f"goal: {escape(goal.line)}", style="red" if goal.held is False else None)
        for note in table.notes:
            console.print(escape(note), style="dim")
        console.print()
    if report.error:
        console.print(f"{report.name} failed: {escape(report.error)}", style="red")


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    console = wide_console()
    scale = Scale(quick=asked.quick)
    header = [*machine.lines(), f"Scale: {scale.name}"]
    console.print(escape("\n".join(header)), highlight=False)
    reports = []
    for name in asked.names:
        console.rule(name)
        report = run(name, scale)
        show(console, report)
        if asked.markdown:
            pages.write(asked.markdown, report, header)
        reports.append(report)
    return 0 if all(report.held for report in reports) else 1


if __name__ == "__main__":
    exit_on_sigterm()
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(INTERRUPTED)
