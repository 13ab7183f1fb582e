"""The results of a campaign as tables: requests, rules, faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.tools.campaign.checks.rules import Rule
from tests.tools.reporting.report import Goal, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from enum import StrEnum

    from tests.tools.campaign.checks.observations import Observations
    from tests.tools.campaign.checks.rules import Violation
    from tests.tools.campaign.environment import Plan
    from tests.tools.campaign.faults.injector import FaultInjector

#: The number of violations in the table; the evidence folder has all.
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The results of one part."""

    plan: Plan
    observations: Observations
    injector: FaultInjector
    found: Sequence[Violation]


def tables(title: str, results: Sequence[Result]) -> list[Table]:
    return [_rules(title, results), _faults(results)]


def _rules(title: str, results: Sequence[Result]) -> Table:
    counted = [Counter(each.rule for each in result.found) for result in results]
    asked = [len(each.observations.acknowledged()) for each in results]
    found = [str(each) for result in results for each in result.found]
    return _table(
        title,
        "Violations",
        results,
        [{str(rule): counts[rule] for rule in Rule} for counts in counted],
        goals=rules(Rule, [each.rule for result in results for each in result.found]),
        notes=[f"Requests acknowledged: {sum(asked)}.", *found[:SHOWN]],
    )


def rules(known: Iterable[StrEnum], broken: Sequence[StrEnum]) -> list[Goal]:
    """Return a goal for each rule: never broken."""
    counts = Counter(broken)
    return [Goal.at_most(f"never: {rule}", counts[rule], 0) for rule in known]


def _faults(results: Sequence[Result]) -> Table:
    counted = [Counter(fault.what for fault in each.injector.faults) for each in results]
    names = sorted({name for counts in counted for name in counts})
    measured = [{name: counts[name] for name in names} for counts in counted]
    return _table("Faults", "Fault", results, measured)


def _table(
    title: str,
    first: str,
    results: Sequence[Result],
    measured: Sequence[Mapping[str, int]],
    *,
    goals: Sequence[Goal] = (),
    notes: Sequence[str] = (),
) -> Table:
    """Return a table with a column per part, and a column for all parts."""
    columns = [result.plan.name for result in results]
    rows = [[each[name] for each in measured] for name in measured[0]]
    if len(columns) > 1:
        columns.append("all")
        rows = [[*row, sum(row)] for row in rows]
    named = [Row(name, row) for name, row in zip(measured[0], rows, strict=True)]
    return Table(title=title, first=first, columns=columns, rows=named, goals=goals, notes=notes)
