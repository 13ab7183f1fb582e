"""Short random quarantines with fixed seeds break no rule, and each rule finds its violation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bot.cancellation.lifecycle import State
from tests.tools.campaign.quarantine.rules import Rule, violations
from tests.tools.campaign.quarantine.simulation import Simulation, play
from tests.tools.campaign.quarantines import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(("part", "downloads"), [(0, 16), (1, 14), (2, 5)])
async def test_short_run_has_no_violation(tmp_path: Path, part: int, downloads: int) -> None:
    _, plan = PARTS[part]

    simulation = await play(plan, tmp_path, seed=20261127, downloads=downloads)

    assert [str(each) for each in violations(simulation)] == []
    assert simulation.outages, "Slack and the database answered all the time"
    assert any(each.state is State.CANCELLED for each in simulation.downloads)


def delete_again(simulation: Simulation) -> None:
    job_id, at, _ = next(call for call in simulation.services.deletes if call[2])
    simulation.services.deletes.append((job_id, at + 1, False))


def delete_another(simulation: Simulation) -> None:
    simulation.services.deletes.append(
        (simulation.others[0], simulation.services.time.elapsed, True)
    )


def delete_early(simulation: Simulation) -> None:
    simulation.services.shown_at = dict.fromkeys(simulation.services.shown_at, 1e6)


def delete_late(simulation: Simulation) -> None:
    simulation.services.shown_at = dict.fromkeys(simulation.services.shown_at, -100.0)
    simulation.disturbances.clear()


def keep_cancelled_downloads(simulation: Simulation) -> None:
    for each in simulation.downloads:
        each.kept_at = 0.0


def expect_one_that_was_cancelled(simulation: Simulation) -> None:
    cancelled = {job_id for job_id, _, _ in simulation.services.deletes}
    alone = next(e for e in simulation.downloads if e.job_id in cancelled and not e.by_person)
    alone.starter, alone.visible_at = "etl@shop.example", 0.0
    simulation.downloads, simulation.others = [alone], []


def forget_the_requests(simulation: Simulation) -> None:
    for each in simulation.downloads:
        each.request = None


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (delete_again, Rule.TWICE),
        (delete_another, Rule.OTHER),
        (delete_early, Rule.EARLY),
        (delete_late, Rule.LATE),
        (keep_cancelled_downloads, Rule.KEPT),
        (expect_one_that_was_cancelled, Rule.EXPECTED),
        (forget_the_requests, Rule.MISSED),
        (lambda simulation: simulation.services.kinds.clear(), Rule.POSTS),
        (lambda simulation: simulation.breaks.append("event 1"), Rule.CHAIN),
    ],
)
def test_each_rule_finds_its_violation(
    simulation_without_violations: Simulation, damage: Callable[[Simulation], None], rule: Rule
) -> None:
    simulation = copy_of(simulation_without_violations)
    damage(simulation)

    assert rule in {each.rule for each in violations(simulation)}


def copy_of(simulation: Simulation) -> Simulation:
    services = simulation.services
    return replace(
        simulation,
        services=replace(services, deletes=[*services.deletes], kinds={**services.kinds}),
        downloads=[replace(each) for each in simulation.downloads],
        disturbances=[*simulation.disturbances],
        breaks=[*simulation.breaks],
    )


@pytest.fixture(scope="module")
def simulation_without_violations(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """Return a simulation without violations, in which the bot cancelled a download."""
    folder = tmp_path_factory.mktemp("simulation")
    simulation = asyncio.run(play(PARTS[0][1], folder, seed=7, downloads=4))
    assert violations(simulation) == []
    assert State.CANCELLED in {each.state for each in simulation.downloads}
    return simulation
