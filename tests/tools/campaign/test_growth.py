"""The growth table finds growth after the warm-up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tools.campaign.growth import Sample, growth_table, slope, used_by


def samples(hour: list[tuple[float, float]]) -> list[Sample]:
    """One sample a minute, of megabytes and of open files."""
    return [Sample(60.0 * number, *used) for number, used in enumerate(hour)]


FLAT = [(100.0 + number % 3, 40.0 + number % 2) for number in range(60)]


@pytest.mark.parametrize(
    ("hour", "memory", "files"),
    [
        (FLAT, True, True),
        ([(60.0 + 2 * number, 20.0) for number in range(18)] + FLAT[18:], True, True),
        ([(100.0 + number / 5, 40.0) for number in range(60)], False, True),
        ([(100.0, 40.0 + number / 5) for number in range(60)], True, False),
    ],
)
def test_growth_after_the_warm_up_misses_the_goal(
    hour: list[tuple[float, float]], *, memory: bool, files: bool
) -> None:
    table = growth_table({"bot-1": samples(FLAT), "bot-2": samples(hour)})

    assert [goal.held for goal in table.goals] == [memory, files]


def test_slope_is_the_growth_per_second() -> None:
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == 2.0


def test_resources_of_a_process_are_read_from_proc() -> None:
    before = used_by(os.getpid())
    with Path(os.devnull).open():
        after = used_by(os.getpid())

    assert before.memory > 10
    assert after.files == before.files + 1
