"""Runs what takes too long for each change, and writes its page: `python -m tests.tools.nightly`.

A campaign of kills on each database, the model of requests with many examples, the branches of the
bot that tests run, and the tests against wrong changes of the security core: hours on two cores.
"""

import asyncio
import json
import os
import re
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools.core_modules import core_modules
from tests.tools.kills.campaign import Report, play
from tests.tools.mutation import Result, mutate

PAGE = Path("docs/reliability.md")
REPORTS = Path("build/nightly")  #: what the workflow keeps beside the page
EXAMPLES = 2000
REQUESTS = 500  #: of the campaign of kills on each database
MODEL = "tests/integration/storage/test_life_cycle.py"
TESTS = ("tests/unit", "tests/integration", "tests/acceptance")
GOAL = 95.0  #: per cent of the branches of the security core


@dataclass(frozen=True, slots=True)
class Model:
    """How long the model ran, and how many of its runs differ, by the name of the database."""

    seconds: float
    different: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Per cent of the lines and branches that tests run."""

    bot: float
    core: float


def python(*arguments: str, **variables: str) -> str:
    """Run Python; return its output. A failure ends the whole."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{' '.join(arguments)} failed.")
    return done.stdout


def run_kills() -> list[Report]:
    """Kill processes under load on both databases; a broken rule ends the whole at the end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # each process has a log and an address
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kinds = ("sqlite", "postgresql")
    return [asyncio.run(play(kind, REQUESTS, secrets.randbelow(2**31))) for kind in kinds]


def run_model() -> Model:
    """Play the model of requests."""
    began = time.monotonic()
    options = ("-q", "-n2", "--dist=load", "--timeout=0", MODEL)
    with tempfile.TemporaryDirectory() as folder:
        counts = {"LIFE_CYCLE_EXAMPLES": str(EXAMPLES), "LIFE_CYCLE_COUNTS": folder}
        python("-m", "pytest", *options, **counts)
        different = {path.name: int(path.read_text("utf-8")) for path in Path(folder).iterdir()}
    return Model(time.monotonic() - began, different)


def measure_coverage() -> Coverage:
    """Run the tests; write the report as text and JSON, and return the totals."""
    python("-m", "coverage", "erase")
    # Not side by side: the processes of xdist end without writing what they measured.
    python("-m", "coverage", "run", "-m", "pytest", "-q", "-n0", "--timeout=0", *TESTS)
    python("-m", "coverage", "combine", "--quiet")
    report = REPORTS / "coverage.json"
    python("-m", "coverage", "json", "--quiet", "-o", str(report))
    text = python("-m", "coverage", "report", "--skip-covered", "--show-missing")
    (REPORTS / "coverage.txt").write_text(text, encoding="utf-8")
    return coverage_of(json.loads(report.read_text(encoding="utf-8")), core_modules())


def coverage_of(report: Mapping[str, Any], core: set[str]) -> Coverage:
    """Return the totals of a report of coverage.py, for the bot and for these modules."""
    files = {path: item["summary"] for path, item in report["files"].items()}
    paths = {f"bot/{name.replace('.', '/')}.py" for name in core}
    return Coverage(_covered(files.values()), _covered(files[path] for path in sorted(paths)))


def _covered(summaries: Any) -> float:
    items = list(summaries)
    parts = [item["num_statements"] + item["num_branches"] for item in items]
    run = [item["covered_lines"] + item["covered_branches"] for item in items]
    return 100.0 * float(sum(run)) / float(sum(parts))


def figures(
    kills: Sequence[Report], model: Model, covered: Coverage, results: Sequence[Result]
) -> Iterator[str]:
    """Yield the lines of the page's tables."""
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%h of %cs"], stdout=subprocess.PIPE, text=True, check=True
    )
    yield f"Commit {commit.stdout.strip()}, {os.cpu_count()} cores."
    yield ""
    yield "| part | figure |"
    yield "|---|---|"
    runs = f"{EXAMPLES} runs on SQLite and {EXAMPLES // 4} on PostgreSQL"
    different = f"{model.different['OnSqlite']} and {model.different['OnPostgres']} different"
    yield f"| model of requests | {runs}, {different}, no contradiction, {model.seconds / 60:.0f} min |"  # noqa: E501 - a row
    yield f"| lines and branches that tests run | {covered.bot:.1f} % of `bot/`, {covered.core:.1f} % of the security core |"  # noqa: E501 - a row
    yield f"| wrong changes that tests notice | {_share(results)} |"
    yield ""
    yield "| module | wrong changes | not noticed | alter nothing |"
    yield "|---|---|---|---|"
    for item in results:
        survivors, explained = len(item.survivors), len(item.explained)
        yield f"| `{item.module}` | {item.count} | {survivors} | {explained} |"
    yield ""
    yield from _kills(kills)


def _kills(reports: Sequence[Report]) -> Iterator[str]:
    """Yield what happened in each campaign, and how often each rule was broken."""
    yield f"| campaign of kills | {' | '.join(report.kind for report in reports)} |"
    yield f"|---|{'---|' * len(reports)}"
    columns = [{"seed": report.seed, **report.counts, **report.table} for report in reports]
    for name in dict.fromkeys(name for column in columns for name in column):
        yield f"| {name} | {' | '.join(str(column.get(name, 0)) for column in columns)} |"


def _share(results: Sequence[Result]) -> str:
    count = sum(result.count for result in results)
    missed = sum(len(result.survivors) for result in results)
    return f"{count - missed} of {count}, {100 * (count - missed) / count:.1f} %"


def updated(page: str, lines: Iterator[str]) -> str:
    """Return the page with these figures in the place of the ones before."""
    text = "".join(f"{line}\n" for line in lines)
    return re.sub(r"(?<=## Figures\n\n).*", lambda _: text, page, flags=re.DOTALL)


def main() -> None:
    REPORTS.mkdir(parents=True, exist_ok=True)
    kills, model = run_kills(), run_model()
    covered = measure_coverage()
    results = mutate()
    survivors = [f"{item.module}: {what}" for item in results for what in item.survivors]
    (REPORTS / "survivors.txt").write_text("".join(f"{line}\n" for line in survivors), "utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(page, figures(kills, model, covered, results)), encoding="utf-8")
    if broken := [item for report in kills for item in report.found]:
        raise SystemExit("\n".join(f"{item.rule}: {item.name} {item.what}" for item in broken))
    if covered.core < GOAL:
        raise SystemExit(
            f"Tests run {covered.core:.1f} % of the security core; the goal is {GOAL}."
        )


if __name__ == "__main__":
    main()
