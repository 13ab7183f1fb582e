"""The benchmarks start, and their page shows the last run."""

from pathlib import Path

import pytest

from tests.benchmarks.__main__ import MODULES
from tests.benchmarks.environment import Options
from tests.benchmarks.results import Figure, page, ratio, record

METHODS = {"ack": "How it is measured.", "history": "How it is measured."}
FAST, SLOW = Figure("fast", 1.2, goal=1.5), Figure("slow", 2.0, goal=1.5)


@pytest.mark.parametrize("name", ["ack", "history"])
async def test_a_quick_benchmark_measures_each_figure(name: str) -> None:
    figures = await MODULES[name].measure(Options(is_quick=True))
    assert figures
    assert all(figure.value > 0 for figure in figures)


def test_figures_of_one_commit_are_one_run(tmp_path: Path) -> None:
    file = tmp_path / "trend.json"
    record(file, "old", "ack", [SLOW])
    record(file, "new", "ack", [SLOW])
    record(file, "new", "ack", [FAST])
    record(file, "new", "history", [FAST])
    text = page(file, METHODS)
    assert "`new`" in text
    assert text.count("| fast |") == 2
    assert "slow" not in text


def test_page_shows_missed_goals_first(tmp_path: Path) -> None:
    file = tmp_path / "trend.json"
    record(file, "new", "ack", [FAST])
    record(file, "new", "history", [SLOW])
    text = page(file, METHODS)
    assert text.index("| history: slow | 2.00 × **missed** | ≤ 1.5 × |") < text.index("| fast |")


def test_page_without_missed_goals_has_no_section_of_them(tmp_path: Path) -> None:
    file = tmp_path / "trend.json"
    record(file, "new", "ack", [FAST])
    assert "missed" not in page(file, METHODS)


def test_ratio_is_taken_within_each_round() -> None:
    assert ratio([2.0, 30.0, 5.0], [1.0, 10.0, 5.0]) == 2.0
