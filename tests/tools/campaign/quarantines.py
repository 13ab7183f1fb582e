"""Random quarantines: each due download is cancelled once and in time, and no other.

The real services of one or two bots run in this process over SQLite, in simulated time.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import structlog

from bot.cancellation.lifecycle import State
from tests.tools.campaign.figures import rules
from tests.tools.campaign.quarantine.rules import Rule, undisturbed_waits, violations
from tests.tools.campaign.quarantine.simulation import DOWNLOADS, Plan, Simulation, play
from tests.tools.reporting.report import Row, Table, percentile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.tools.campaign.options import Options

log = structlog.get_logger(__name__)

#: The parts, with the fraction of the downloads of each.
PARTS = (
    (0.4, Plan(name="1 bot", bots=1)),
    (0.4, Plan(name="2 bots", bots=2)),
    (0.2, Plan(name="2 bots, at most 3 an hour", bots=2, limit=3)),
)


async def run(options: Options) -> list[Table]:
    """Run every part and return its tables; violations are in the tables."""
    results: list[tuple[Plan, list[Simulation], float]] = []
    number = count()
    for share, plan in PARTS:
        began, simulations = time.monotonic(), []
        for downloads in simulations_of(round(share * options.requests)):
            seed = options.seed + next(number)
            simulations.append(await play(plan, options.folder, seed, downloads))
            log.info("simulation ended", part=plan.name, simulations=len(simulations))
        results.append((plan, simulations, time.monotonic() - began))
    return tables(results)


def simulations_of(downloads: int) -> list[int]:
    """Distribute downloads over simulations."""
    whole, rest = divmod(downloads, DOWNLOADS)
    return [DOWNLOADS] * whole + [rest] * (rest > 0)


def tables(results: Sequence[tuple[Plan, Sequence[Simulation], float]]) -> list[Table]:
    columns = [plan.name for plan, _, _ in results]
    counted = [
        _counts(simulations) | {"seconds of the machine": spent}
        for _, simulations, spent in results
    ]
    found = [
        [v for simulation in simulations for v in violations(simulation)]
        for _, simulations, _ in results
    ]
    sentences = [str(each) for part in found for each in part]
    broken = [Counter(each.rule for each in part) for part in found]
    faults = [
        sum((s.services.faults for s in simulations), Counter()) for _, simulations, _ in results
    ]
    names = sorted({name for each in faults for name in each})
    counts = [{name: each[name] for name in names} for each in faults]
    return [
        _table("Random quarantines", "Count", columns, counted),
        replace(
            _table("Rules", "Violations", columns, [{str(r): c[r] for r in Rule} for c in broken]),
            goals=rules(Rule, [each.rule for part in found for each in part]),
            notes=sentences[:20],
        ),
        _table("Faults", "Fault", columns, counts),
    ]


def _table(
    title: str, first: str, columns: Sequence[str], parts: Sequence[Mapping[str, float | int]]
) -> Table:
    rows = [Row(name, [part[name] for part in parts]) for name in parts[0]]
    return Table(title=title, first=first, columns=list(columns), rows=rows)


def _counts(simulations: Sequence[Simulation]) -> dict[str, float | int]:
    downloads = [each for simulation in simulations for each in simulation.downloads]
    states = Counter(each.state for each in downloads)
    waits = [wait for simulation in simulations for wait in undisturbed_waits(simulation)] or [0.0]
    return {
        "downloads": len(downloads),
        "other jobs": sum(len(simulation.others) for simulation in simulations),
        "cancelled by the bot": sum(
            each.state is State.CANCELLED and not each.by_person for each in downloads
        ),
        "cancelled by a click": sum(each.by_person for each in downloads),
        "kept by an approver": sum(each.kept_at is not None for each in downloads),
        "kept, as the starter is expected": states[State.KEPT]
        - sum(each.kept_at is not None for each in downloads),
        "ended in Atlas": states[State.OVER],
        "beyond the limit": states[None] + states[State.OBSERVED],
        "DELETEs": sum(len(simulation.services.deletes) for simulation in simulations),
        "simulated seconds": round(
            sum(simulation.services.time.elapsed for simulation in simulations)
        ),
        "undisturbed, DELETE after the grace time, median s": percentile(waits, 0.5),
        "undisturbed, DELETE after the grace time, worst s": max(waits),
    }
