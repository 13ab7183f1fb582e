"""Resources of running bots: samples of memory and open files, and their growth."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.reporting.report import Goal, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.tools.campaign.replicas import Replica
    from tests.tools.reporting.report import Cell

#: Seconds between samples, and the share of the time that counts as warming up.
EVERY = 2.0
WARM_UP = 0.3

#: How many samples make the figure at first and at last.
SOME = 5

#: Limits of flat usage: growth over all the time after warming up, of each bot.
FLAT_MEMORY = 0.05
FLAT_FILES = 5

COLUMNS = (
    "MB at first",
    "MB at last",
    "MB at most",
    "MB an hour (slope)",
    "files at first",
    "files at last",
    "files at most",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of one bot at one time."""

    at: float
    memory: float  # resident, MB
    files: float


class Growth:
    """The growth of one bot's resources after the warm-up."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._warm = samples[round(len(samples) * WARM_UP) :]
        self._span = self._warm[-1].at - self._warm[0].at
        self._memory = [each.memory for each in self._warm]
        self._files = [each.files for each in self._warm]

    @property
    def memory(self) -> float:
        """The growth of memory as a fraction, by its slope."""
        return self._slope(self._memory) * self._span / _mean(self._memory[:SOME])

    @property
    def files(self) -> float:
        """The growth of open files, by the slope."""
        return self._slope(self._files) * self._span

    def cells(self) -> list[Cell]:
        memory, files = self._memory, self._files
        hourly = self._slope(memory) * 3600
        used: list[Cell] = [_mean(memory[:SOME]), _mean(memory[-SOME:]), max(memory), hourly]
        return [*used, files[0], files[-1], max(files)]

    def _slope(self, values: Sequence[float]) -> float:
        return slope([(each.at, value) for each, value in zip(self._warm, values, strict=True)])


async def watch(replicas: Sequence[Replica], samples: dict[str, list[Sample]]) -> None:
    """Sample the resources of each bot until cancelled."""
    while True:
        for replica in replicas:
            if replica.pid:
                samples.setdefault(replica.name, []).append(used_by(replica.pid))
        await asyncio.sleep(EVERY)


def used_by(pid: int) -> Sample:
    process = Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return Sample(time.monotonic(), int(kilobytes) / 1024, len(list((process / "fd").iterdir())))


def growth_table(samples: Mapping[str, Sequence[Sample]]) -> Table:
    """Return the table of each bot's resources, with goals for their growth."""
    grown = {name: Growth(each) for name, each in samples.items()}
    return Table(
        title="Resources of the bots",
        first="After the warm-up",
        columns=COLUMNS,
        rows=[Row(name, each.cells()) for name, each in grown.items()],
        goals=[
            _flat("memory grows by at most 5 %", grown, lambda it: it.memory, FLAT_MEMORY),
            _flat(
                f"open files grow by at most {FLAT_FILES}", grown, lambda it: it.files, FLAT_FILES
            ),
        ],
    )


def _flat(
    text: str, grown: Mapping[str, Growth], of: Callable[[Growth], float], limit: float
) -> Goal:
    return Goal.at_most(f"{text} (slope)", max(0.0, *map(of, grown.values())), limit)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope per second, by least squares."""
    mean_x, mean_y = _mean([x for x, _ in points]), _mean([y for _, y in points])
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
