"""Runs what takes too long for each change, and writes its page: `python -m tests.tools.nightly`.

A campaign of kills on each database, the model of requests with many examples, the branches of the
bot that tests run, and beside them the tests against wrong changes of the security core.
`python -m tests.tools.nightly kills model` runs these parts alone.
"""

import asyncio
import fcntl
import json
import os
import re
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exc, format_exception
from typing import Any

from tests.support.git import git
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
class Part:
    """What a part of the night found."""

    table: Sequence[str]  #: lines of the page
    problem: str = ""  #: why it is not good, or empty


class PartFailed(Exception):
    """A part could not be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Per cent of the lines and branches that tests run."""

    bot: float
    core: float


def python(*arguments: str, **variables: str) -> str:
    """Run Python; return its output. A failure ends the part."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PartFailed(f"{done.stdout}\n{' '.join(arguments)} failed.")
    return done.stdout


def run_kills() -> Part:
    """Kill processes under load on both databases, side by side: they wait most of the time."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # each process has a log and an address
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ends = asyncio.run(_play_both())
    reports = [end for end in ends if isinstance(end, Report)]
    problems = ["".join(format_exception(end)) for end in ends if isinstance(end, BaseException)]
    if not reports:
        raise PartFailed("\n".join(problems))
    broken = [item for report in reports for item in report.found]
    problems += [f"{item.rule}: {item.name} {item.what}" for item in broken]
    return Part(list(_kills(reports)), "\n".join(problems))


async def _play_both() -> list[Report | BaseException]:
    kinds = ("sqlite", "postgresql")
    seeds = (secrets.randbelow(2**31) for _ in kinds)
    campaigns = map(play, kinds, (REQUESTS, REQUESTS), seeds)
    return await asyncio.gather(*campaigns, return_exceptions=True)


def run_model() -> Part:
    """Play the model of requests."""
    options = ("-q", "-n2", "--dist=load", "--timeout=0", MODEL)
    with tempfile.TemporaryDirectory() as folder:
        counts = {"LIFE_CYCLE_EXAMPLES": str(EXAMPLES), "LIFE_CYCLE_COUNTS": folder}
        python("-m", "pytest", *options, **counts)
        different = {path.name: int(path.read_text("utf-8")) for path in Path(folder).iterdir()}
    rows = (
        f"| {name} | {EXAMPLES // share} | {different[group]} |"
        for name, share, group in (("SQLite", 1, "OnSqlite"), ("PostgreSQL", 4, "OnPostgres"))
    )
    return Part(
        ["| database | runs, without a contradiction | different |", "|---|---|---|", *rows]
    )


def measure_coverage() -> Part:
    """Run the tests; write the report as text and JSON."""
    python("-m", "coverage", "erase")
    python("-m", "coverage", "run", "-m", "pytest", "-q", "-n6", "--timeout=0", *TESTS)
    python("-m", "coverage", "combine", "--quiet")
    report = REPORTS / "coverage.json"
    python("-m", "coverage", "json", "--quiet", "-o", str(report))
    text = python("-m", "coverage", "report", "--skip-covered", "--show-missing")
    (REPORTS / "coverage.txt").write_text(text, encoding="utf-8")
    covered = coverage_of(json.loads(report.read_text(encoding="utf-8")), core_modules())
    rows = (f"| `bot/` | {covered.bot:.1f} |", f"| the security core | {covered.core:.1f} |")
    core = f"Tests run {covered.core:.1f} % of the security core; the goal is {GOAL}."
    head = ("| of | per cent of the lines and branches |", "|---|---|")
    return Part([*head, *rows], core if covered.core < GOAL else "")


def run_mutation() -> Part:
    """Run the tests against each wrong change of the security core."""
    results = mutate()
    survivors = [f"{item.module}: {what}" for item in results for what in item.survivors]
    (REPORTS / "survivors.txt").write_text("".join(f"{line}\n" for line in survivors), "utf-8")
    head = ("| module | wrong changes | not noticed | alter nothing |", "|---|---|---|---|")
    rows = (
        f"| `{item.module}` | {item.count} | {len(item.survivors)} | {len(item.explained)} |"
        for item in results
    )
    return Part([*head, *rows, _sum(results)])


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


def _kills(reports: Sequence[Report]) -> Iterator[str]:
    """Yield what happened in each campaign, and how often each rule was broken."""
    yield f"| campaign of kills | {' | '.join(report.kind for report in reports)} |"
    yield f"|---|{'---|' * len(reports)}"
    columns = [{"seed": report.seed, **report.counts, **report.table} for report in reports]
    for name in dict.fromkeys(name for column in columns for name in column):
        yield f"| {name} | {' | '.join(str(column.get(name, 0)) for column in columns)} |"


def _sum(results: Sequence[Result]) -> str:
    count = sum(item.count for item in results)
    missed = sum(len(item.survivors) for item in results)
    explained = sum(len(item.explained) for item in results)
    share = 100 * (count - missed) / count
    return f"| all, {share:.1f} % noticed | {count} | {missed} | {explained} |"


PARTS: Mapping[str, Callable[[], Part]] = {
    "kills": run_kills,
    "model": run_model,
    "coverage": measure_coverage,
    "mutation": run_mutation,
}


def updated(page: str, name: str, lines: Sequence[str]) -> str:
    """Return the page with these lines in the section of a part, in place of those before."""
    text = "".join(f"{line}\n" for line in lines)
    return re.sub(
        rf"(?<=^### {name.capitalize()}\n\n).*?(?=\n### |\Z)",
        lambda _: text,
        page,
        flags=re.DOTALL | re.MULTILINE,
    )


def measure(name: str) -> str:
    """Run a part and write its section; return why it is not good, or an empty text."""
    began, commit = time.monotonic(), git("log", "-1", "--format=%h of %cs").decode().strip()
    try:
        part = PARTS[name]()
    except PartFailed as error:
        return str(error)
    except (Exception, SystemExit):  # noqa: BLE001 - the other parts go on
        return format_exc()
    minutes = (time.monotonic() - began) / 60
    how = f"Commit {commit}, {os.cpu_count()} cores, {minutes:.0f} minutes."
    with PAGE.open("r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)  # mutation writes its section at its own time
        text = updated(page.read(), name, [how, "", *part.table])
        page.seek(0)
        page.truncate()
        page.write(text)
    return part.problem


def main() -> None:
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - PARTS.keys():
        raise SystemExit(f"There is no part {', '.join(sorted(unknown))}: {', '.join(PARTS)}.")
    REPORTS.mkdir(parents=True, exist_ok=True)
    mutation = None
    if "mutation" in names and len(names) > 1:
        # Kills wait most of the time: mutation takes what the other parts leave of the processors.
        names.remove("mutation")
        command = ("nice", "-n", "10", sys.executable, "-m", "tests.tools.nightly", "mutation")
        mutation = subprocess.Popen(command)
    problems = [f"{name}: {problem}" for name in names if (problem := measure(name))]
    if mutation and mutation.wait():
        problems.append("mutation failed.")
    if problems:
        raise SystemExit("\n\n".join(problems))


if __name__ == "__main__":
    main()
