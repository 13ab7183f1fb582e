"""Measuring and reporting: rounds, medians, ratios, goals, tables."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from rich.markup import escape
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")

#: The value of a cell: a number is rounded to three significant digits, None is a dash.
Cell = float | int | str | None


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a run: `quick` shows that everything works, the full run gives the figures."""

    quick: bool

    @property
    def name(self) -> str:
        return "quick" if self.quick else "full"

    def pick(self, quick: T, full: T) -> T:
        """Return the amount (rounds, size, seconds) for this scale."""
        return quick if self.quick else full


class Missing(Exception):
    """A peer or program is not installed; the message names it and how to install it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of a table; `missing` is the reason why it has no figures."""

    name: str
    cells: Sequence[Cell] = ()
    missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal and its measured value; `held` is None if it could not be measured."""

    text: str
    seen: Cell
    held: bool | None

    @classmethod
    def at_most(cls, text: str, seen: float | None, limit: float) -> Goal:
        return cls(text=text, seen=seen, held=None if seen is None else seen <= limit)

    @property
    def verdict(self) -> str:
        return {True: "held", False: "NOT held", None: "not measured"}[self.held]

    @property
    def line(self) -> str:
        return f"{self.text}: {shown(self.seen)} ({self.verdict})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of a report: `columns` are those after the first, which names the variant.

    Goals stand below it, and notes say what was compared.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    first: str = ""
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()

    @property
    def held(self) -> bool:
        """Whether no goal was missed; goals that could not be measured do not count."""
        return all(goal.held is not False for goal in self.goals)

    def rich(self) -> RichTable:
        table = RichTable(title=escape(self.title), title_justify="left", title_style="bold")
        table.add_column(escape(self.first))
        for column in self.columns:
            table.add_column(escape(column), justify="right")
        for row in self.rows:
            table.add_row(*map(escape, self._texts(row)))
        return table

    def _texts(self, row: Row) -> list[str]:
        texts = [row.name, row.missing] if row.missing else [row.name, *map(shown, row.cells)]
        return texts + [""] * (1 + len(self.columns) - len(texts))


def shown(cell: Cell) -> str:
    """Format a cell: 0.1234 is 0.123, 12345.6 is 12,346."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


async def in_turn(
    variants: Mapping[str, Callable[[], Awaitable[T]]], rounds: int, *, warm: int = 1
) -> dict[str, list[T]]:
    """Run every variant once per round, in a different order each round; return the results.

    What disturbs the machine for a while so disturbs all of them alike. `warm` rounds before
    do not count.
    """
    given: dict[str, list[T]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(-warm, rounds):
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            value = await variants[name]()
            if number >= 0:
                given[name].append(value)
    return given


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; `share` is 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios taken pair by pair within a round."""
    return median([value / other for value, other in zip(values, base, strict=True)])


async def seconds_of(work: Callable[[], Awaitable[object]]) -> float:
    """Return how long `work` took, in seconds."""
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


@dataclass(slots=True)
class Report:
    """The results of one benchmark."""

    name: str
    tables: list[Table] = field(default_factory=list)
    error: str | None = None

    @property
    def held(self) -> bool:
        return self.error is None and all(table.held for table in self.tables)
