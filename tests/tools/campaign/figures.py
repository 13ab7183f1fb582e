"""The results of a campaign as tables: requests, rules, faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.tools.campaign.checks.logs import problems_in_logs
from tests.tools.campaign.checks.requests import endings
from tests.tools.campaign.checks.rules import Rule
from tests.tools.reporting.report import Goal, Row, Table, percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from enum import StrEnum

    from tests.tools.campaign.checks.observations import Observations
    from tests.tools.campaign.checks.rules import Violation
    from tests.tools.campaign.environment import CampaignEnvironment, Plan
    from tests.tools.campaign.faults.injector import FaultInjector

#: The number of violations in the table; the evidence folder has all.
SHOWN = 20

Figures = dict[str, float | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Durations of one part.

    Attributes:
        faults_lasted: seconds from the first person to the last fault.
        settled_in: seconds from the last fault to the last outcome.
        lags: samples of the delay of the campaign's own event loop, in seconds.
    """

    faults_lasted: float
    settled_in: float
    lags: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The results of one part."""

    plan: Plan
    observations: Observations
    injector: FaultInjector
    env: CampaignEnvironment
    found: Sequence[Violation]
    times: Times


def tables(title: str, results: Sequence[Result]) -> list[Table]:
    return [_requests(title, results), _rules(results), _faults(results)]


def _requests(title: str, results: Sequence[Result]) -> Table:
    measured = [_asked(each) | _done(each) | _waits(each) for each in results]
    return _table(title, "Count", results, measured, notes=_notes(results))


def _rules(results: Sequence[Result]) -> Table:
    counted = [Counter(each.rule for each in result.found) for result in results]
    found = [str(each) for result in results for each in result.found]
    return _table(
        "Rules",
        "Violations",
        results,
        [{str(rule): counts[rule] for rule in Rule} for counts in counted],
        goals=rules(Rule, [each.rule for result in results for each in result.found]),
        notes=found[:SHOWN],
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
    measured: Sequence[Mapping[str, float | int]],
    *,
    goals: Sequence[Goal] = (),
    notes: Sequence[str] = (),
) -> Table:
    """Return a table with a column per part, and a column for all parts."""
    columns = [result.plan.name for result in results]
    rows = [[each[name] for each in measured] for name in measured[0]]
    if len(columns) > 1:
        columns.append("all")
        rows = [[*row, _total(row)] for row in rows]
    named = [Row(name, row) for name, row in zip(measured[0], rows, strict=True)]
    return Table(title=title, first=first, columns=columns, rows=named, goals=goals, notes=notes)


def _total(values: Sequence[float | int]) -> float | int:
    """Return the sum of counts, and the maximum of seconds."""
    return max(values) if any(isinstance(value, float) for value in values) else sum(values)


def _asked(result: Result) -> Figures:
    observations, states = result.observations, endings(result.observations)
    acknowledged = observations.acknowledged()
    return {
        "people who made requests": len(observations.scenarios),
        "requests acknowledged": len(acknowledged),
        "of them with an outcome": sum(map(observations.ended, acknowledged)),
        "cancelled": states["cancelled"],
        "denied": states["denied"],
        "withdrawn": states["withdrawn"],
        "expired": states["expired"],
        "over (cancelled elsewhere)": states["over"],
        "kept": states["kept"],
        "failed": states["failed"],
        "acted alone, and reviewed": sum(each.reviewed for each in observations.scenarios),
        "of these, second requests for a job": sum(states.values())
        - len(observations.messages.by_job),
        "reported failures, then retried": sum(
            scenario.retried for scenario in observations.scenarios
        ),
        "clicks on cards": sum(scenario.clicks for scenario in observations.scenarios),
        "deliveries of Slack": result.env.delivery.sent,
    }


def _done(result: Result) -> Figures:
    observations = result.observations
    return {
        "DELETEs that took effect": sum(map(observations.effects, observations.scenarios)),
        "DELETEs after one that took effect": sum(
            len(observations.late(scenario)) for scenario in observations.scenarios
        ),
        "duplicate posts after a lost answer": observations.copies,
        "copies of cards as direct messages": len(observations.messages.direct),
        "events in the audit log": len(observations.events),
        "bot processes": len(observations.processes),
        "errors in their logs": sum(problems_in_logs(observations.logs).values()),
    }


def _waits(result: Result) -> Figures:
    scenarios = result.observations.scenarios
    waits = [each.seconds for each in scenarios if each.seconds is not None] or [0.0]
    return {
        "duration of the faults, s": result.times.faults_lasted,
        "from command to acknowledged, median s": percentile(waits, 0.5),
        "from command to acknowledged, worst s": max(waits),
        "expiry shown after its time, worst s": max(
            map(result.observations.expired_late, scenarios), default=0.0
        ),
        "last outcome after the last fault, s": result.times.settled_in,
        "slowest shutdown of a bot, s": max(replica.slowest_end for replica in result.env.replicas),
    }


def _notes(results: Sequence[Result]) -> list[str]:
    """Return the evidence folders and the delay by the machine."""
    kept = [f"evidence: {result.env.folder}" for result in results if result.found]
    slowest = max(max(result.times.lags, default=0.0) for result in results)
    return [f"longest delay of the campaign itself by the machine: {slowest:.1f} s", *kept]
