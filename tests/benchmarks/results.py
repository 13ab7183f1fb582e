"""Figures and their goals, the file that keeps their trend, and the page that shows the last."""

import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.git import git


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `goal` is the highest that is wanted."""

    name: str
    value: float
    unit: str = "×"
    goal: float | None = None

    @property
    def misses_goal(self) -> bool:
        return self.goal is not None and not self.value <= self.goal

    @property
    def cells(self) -> tuple[str, str, str]:
        """The name, the value and the goal, for people."""
        goal = "" if self.goal is None else f"≤ {self.goal:g} {self.unit}"
        missed = " **missed**" if self.misses_goal else ""
        return self.name, f"{shown(self.value)} {self.unit}{missed}", goal


def shown(value: float) -> str:
    """Return a value with three significant digits."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the nearest value below which are at least this share of all."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio(values: Sequence[float], peer: Sequence[float]) -> float:
    """Return the median of the ratios within each round: the machine's load cancels out."""
    return median(value / other for value, other in zip(values, peer, strict=True))


def commit_id() -> str:
    """Return the commit of this tree, with `-dirty` where files differ from it."""
    options = ("--always", "--dirty", "--abbrev=12", "--exclude=*")
    return git("describe", *options).decode().strip()


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def record(
    file: Path, run: Mapping[str, str], benchmark: str, figures: Sequence[Figure], load: float = 0.0
) -> None:
    """Add figures to the trend: to its last run if that is `run`, else to a new one.

    `load` is how many other programs wanted the machine's cores when the benchmark began.
    """
    runs: list[dict[str, Any]] = json.loads(file.read_text())["runs"] if file.exists() else []
    if not runs or any(runs[-1].get(name) != value for name, value in run.items()):
        runs.append({**run, "figures": {}})
    runs[-1]["load"] = max(runs[-1].get("load", 0.0), round(load, 1))
    runs[-1]["figures"][benchmark] = [asdict(figure) for figure in figures]
    file.write_text(json.dumps({"runs": runs}, indent=1, ensure_ascii=False) + "\n")


def page(file: Path, methods: Mapping[str, str]) -> str:
    """Return the page of the last run; figures that miss their goals come first."""
    run = json.loads(file.read_text())["runs"][-1]
    found = {
        benchmark: [Figure(**values) for values in figures]
        for benchmark, figures in sorted(run["figures"].items())
    }
    missed = [
        replace(figure, name=f"{benchmark}: {figure.name}")
        for benchmark, figures in found.items()
        for figure in figures
        if figure.misses_goal
    ]
    lines = [
        "# Performance",
        "",
        f"Measured {run['date']} at commit `{run['commit']}` on a machine with {run['machine']},",
        f"where up to {run['load']:g} other programs ran at once. With more than about 0.5, times",
        "in seconds say little: the bot waits for a core.",
        "× is a ratio to a peer, or to another case, of the same run.",
        "",
        "    python -m tests.benchmarks --json FILE --page docs/performance.md",
        "",
        "measures again, adds the figures to the trend in FILE, and writes this page.",
        "",
    ]
    if missed:
        lines += ["## Goals that are missed", "", *_table(missed), ""]
    for benchmark, figures in found.items():
        lines += [f"## {benchmark.capitalize()}", "", methods[benchmark], ""]
        lines += [*_table(figures), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(figures: Iterable[Figure]) -> list[str]:
    rows = (f"| {' | '.join(figure.cells)} |" for figure in figures)
    return ["| figure | measured | goal |", "|---|---|---|", *rows]
