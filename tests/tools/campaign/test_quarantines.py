"""Short random quarantines with fixed seeds break no rule, and each rule finds its violation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bot.cancellation.lifecycle import State
from tests.tools.campaign.quarantine_rules import Rule, violations
from tests.tools.campaign.quarantine_season import Season, play
from tests.tools.campaign.quarantines import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(("part", "downloads"), [(0, 25), (1, 20), (2, 8)])
async def test_short_run_has_no_violation(tmp_path: Path, part: int, downloads: int) -> None:
    _, plan = PARTS[part]

    season = await play(plan, tmp_path, seed=20261127, downloads=downloads)

    assert [str(each) for each in violations(season)] == []
    assert season.away, "Slack and the database answered all the time"
    assert any(each.state is State.CANCELLED for each in season.downloads)


def delete_again(season: Season) -> None:
    job_id, at, _ = next(call for call in season.services.deletes if call[2])
    season.services.deletes.append((job_id, at + 1, False))


def delete_another(season: Season) -> None:
    season.services.deletes.append((season.others[0], season.services.time.elapsed, True))


def delete_early(season: Season) -> None:
    season.services.shown_at = dict.fromkeys(season.services.shown_at, 1e6)


def delete_late(season: Season) -> None:
    season.services.shown_at = dict.fromkeys(season.services.shown_at, -100.0)
    season.disturbed.clear()


def keep_what_was_cancelled(season: Season) -> None:
    for each in season.downloads:
        each.kept_at = 0.0


def expect_everyone(season: Season) -> None:
    for each in season.downloads:
        each.starter, each.visible_at = "etl@shop.example", 0.0


def forget_the_requests(season: Season) -> None:
    for each in season.downloads:
        each.request = None


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (delete_again, Rule.TWICE),
        (delete_another, Rule.OTHER),
        (delete_early, Rule.EARLY),
        (delete_late, Rule.LATE),
        (keep_what_was_cancelled, Rule.KEPT),
        (expect_everyone, Rule.EXPECTED),
        (forget_the_requests, Rule.MISSED),
        (lambda season: season.services.kinds.clear(), Rule.POSTS),
        (lambda season: season.breaks.append("event 1"), Rule.CHAIN),
    ],
)
def test_each_rule_finds_its_violation(
    calm_season: Season, damage: Callable[[Season], None], rule: Rule
) -> None:
    season = a_copy(calm_season)
    damage(season)

    assert rule in {each.rule for each in violations(season)}


def a_copy(season: Season) -> Season:
    services = season.services
    return replace(
        season,
        services=replace(services, deletes=[*services.deletes], kinds={**services.kinds}),
        downloads=[replace(each) for each in season.downloads],
        disturbed=[*season.disturbed],
        breaks=[*season.breaks],
    )


@pytest.fixture(scope="module")
def calm_season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """Return a season that broke no rule, in which the bot cancelled a download."""
    folder = tmp_path_factory.mktemp("season")
    season = asyncio.run(play(PARTS[0][1], folder, seed=7, downloads=4))
    assert violations(season) == []
    assert State.CANCELLED in {each.state for each in season.downloads}
    return season
