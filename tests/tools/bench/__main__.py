"""Runs the benchmarks: `python -m tests.tools.bench [NAME …] [--quick] [--markdown FILE]`.

Exit code: 0 when every goal held, 1 when one did not or a benchmark failed, 2 for wrong usage,
130 when it was interrupted.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.markup import escape

from tests.support.sigterm import exit_on_sigterm
from tests.tools.reporting import machine, pages
from tests.tools.reporting.registry import INTERRUPTED, Registry, show, wide_console
from tests.tools.reporting.report import Scale

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

BENCHMARKS = Registry("bench", "measure", "benchmark")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = BENCHMARKS.parser("Measures the bot and its peers on this machine, over loopback.")
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, to test that all benchmarks run"
    )
    tables = "write the goals to this file, between its markers"
    parser.add_argument("--markdown", type=pages.page_at, metavar="FILE", help=tables)
    asked = BENCHMARKS.parse(parser, given)
    if asked.quick and asked.markdown:
        parser.error(
            "--quick only tests that all benchmarks run; its figures must not be written to a file"
        )
    if asked.markdown:
        pages.require_committed(parser)
    return asked


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    console = wide_console()
    scale = Scale(quick=asked.quick)
    header = [*machine.lines(), f"Scale: {scale.name}"]
    console.print(escape("\n".join(header)), highlight=False)
    reports = []
    for name in asked.names:
        console.rule(name)
        report = BENCHMARKS.run(name, scale)
        show(console, report)
        if asked.markdown:
            pages.write(asked.markdown, report, machine.measured())
        reports.append(report)
    return 0 if all(report.held for report in reports) else 1


if __name__ == "__main__":
    exit_on_sigterm()
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(INTERRUPTED)
