"""The file in which the benchmarks keep their trend."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.results import Figure, record

RUN = {"commit": "abc", "machine": "2 cores", "date": "2026-12-02"}


@pytest.mark.parametrize(
    "change", [{"date": "2026-12-03"}, {"commit": "def"}, {"machine": "4 cores"}]
)
def test_another_run_is_added_to_the_trend_and_changes_no_earlier_one(
    tmp_path: Path, change: dict[str, str]
) -> None:
    file = tmp_path / "trend.json"
    record(file, RUN, "ack", [Figure("p50", 1.0)])
    record(file, RUN, "history", [Figure("polls", 2.0)])
    before = json.loads(file.read_text())["runs"]
    record(file, RUN | change, "ack", [Figure("p50", 3.0)])
    after = json.loads(file.read_text())["runs"]

    assert [list(run["figures"]) for run in after] == [["ack", "history"], ["ack"]]
    assert after[:1] == before
