"""The reports of the benchmarks: medians, ratios, goals, tables, and their page."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.bench.__main__ import BENCHMARKS
from tests.tools.bench.proxy import ROOT
from tests.tools.campaign.__main__ import CAMPAIGNS
from tests.tools.campaign.checks.rules import Rule
from tests.tools.campaign.quarantine.rules import Rule as QuarantineRule
from tests.tools.reporting import pages
from tests.tools.reporting.registry import Registry
from tests.tools.reporting.report import Goal, Report, Row, Table

TABLE = Table(
    title="Reads",
    columns=("ms", "ratio"),
    first="client",
    rows=[Row("bot", [1.2345, 0.5]), Row("peer", missing="curl | wget is missing")],
    goals=[Goal.at_most("≤ 0.3 × curl", 0.24, 0.3)],
    notes=["On loopback."],
)


PAGE = f"""# Title

{pages.BEGIN}

| Benchmark | Goal | Result | Held | Commit | Machine |
|---|---|---|---|---|---|
| a | old goal | 1 | **no** | 0a1, 2026-01-01 | old |
| b | another | 2 | yes | 0b2, 2026-01-01 | old |

{pages.END}

The end.
"""


def test_new_goals_replace_those_of_the_benchmark_and_missed_ones_stand_first(
    tmp_path: Path,
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    missed = replace(TABLE, goals=[*TABLE.goals, Goal.at_most("≤ 2", 2.1, 2.0)])
    pages.write(page, Report("c", [missed]), ["0c3, 2026-02-02", "new"])
    pages.write(page, Report("a", [TABLE]), ["0d4, 2026-02-02", "new"])

    assert [line for line in page.read_text().splitlines() if line.startswith("| ")][1:] == [
        "| c | ≤ 2 | 2.1 | **no** | 0c3, 2026-02-02 | new |",
        "| a | ≤ 0.3 × curl | 0.24 | yes | 0d4, 2026-02-02 | new |",
        "| b | another | 2 | yes | 0b2, 2026-01-01 | old |",
        "| c | ≤ 0.3 × curl | 0.24 | yes | 0c3, 2026-02-02 | new |",
    ]
    assert page.read_text().endswith(f"{pages.END}\n\nThe end.\n")


def test_changed_code_is_refused_and_changed_pages_are_not(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "docs").mkdir()
    for name in ("docs/page.md", "code.py"):
        (tmp_path / name).write_text("")
    git("add", "-A")
    git("commit", "-m", "first")
    (tmp_path / "docs" / "page.md").write_text("new figures")
    assert pages.changes(tmp_path) == ""

    (tmp_path / "code.py").write_text("changed")
    assert pages.changes(tmp_path) == "M code.py"


@pytest.mark.parametrize(
    ("name", "runs"), [("performance", BENCHMARKS), ("reliability", CAMPAIGNS)]
)
def test_page_says_what_each_of_its_runs_does(name: str, runs: Registry) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text()
    described = {
        word
        for names in re.findall(r"^\| ([a-z_, ]+) \|", page, re.MULTILINE)
        for word in names.split(", ")
    }

    assert set(runs.descriptions()) <= described


def test_page_has_a_row_for_each_rule_of_the_campaigns() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    rules = {"kills": Rule, "quarantines": QuarantineRule}

    assert [
        (campaign, rule)
        for campaign, known in rules.items()
        for rule in known
        if f"| {campaign} | never: {rule} |" not in page
    ] == []
