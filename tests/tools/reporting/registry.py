"""Runs the modules of a package by their names on the command line, and prints their reports."""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from tests.tools.reporting.report import Missing, Report

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOLS = Path(__file__).parents[1]

#: The exit code after SIGINT, as in a shell.
INTERRUPTED = 130

#: Width of the widest table, in characters.
WIDE = 150


@dataclass(frozen=True, slots=True)
class Registry:
    """The modules of the package `tests.tools.PACKAGE` that have the coroutine `function`.

    `kind` is what messages call such a module.
    """

    package: str
    function: str
    kind: str

    def descriptions(self) -> dict[str, str]:
        """Return the first line of the docstring of each module, by the module's name."""
        found = {}
        for path in sorted((TOOLS / self.package).glob("*.py")):
            tree = ast.parse(path.read_text())
            functions = (node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef))
            if self.function in functions:
                found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
        return found

    def parser(self, description: str) -> argparse.ArgumentParser:
        """Return a parser that takes names of modules; its help lists them."""
        parser = argparse.ArgumentParser(
            prog=f"python -m tests.tools.{self.package}",
            description=description,
            epilog="\n".join(f"{name:14} {line}" for name, line in self.descriptions().items()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
        return parser

    def parse(
        self, parser: argparse.ArgumentParser, given: Sequence[str] | None
    ) -> argparse.Namespace:
        """Parse the arguments; an unknown name ends the program, and no name means all."""
        known = list(self.descriptions())
        asked = parser.parse_args(given)
        if unknown := [name for name in asked.names if name not in known]:
            names = f"{', '.join(unknown)} (known: {', '.join(known)})"
            parser.error(f"no such {self.kind}: {names}")
        asked.names = asked.names or known
        return asked

    def run(self, name: str, argument: object) -> Report:
        """Run one module; its failure is reported, and the others still run."""
        try:
            module = importlib.import_module(f"tests.tools.{self.package}.{name}")
            return Report(name, asyncio.run(getattr(module, self.function)(argument)))
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
