"""Scenarios of the demo in the browser in which Atlas fails."""

import pytest

from bot.demo.controller import Controller
from bot.demo.scenarios import FAULTS
from tests.browser import plays
from tests.browser.conftest import OpenTab


@pytest.mark.parametrize("name", [each.name for each in FAULTS])
async def test_scenario_of_a_fault_ends_as_the_hint_says(
    tab: OpenTab, controller: Controller, name: str
) -> None:
    await plays.play(tab, controller, name)
