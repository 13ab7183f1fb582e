"""Scenarios in which Atlas fails, and in which people do more than cancel.

The others end on the terminal as they do here: tests/integration/test_demo_script.py.
"""

import pytest

from bot.demo.controller import Controller
from bot.sandbox.atlas import PRESETS
from tests.browser import plays
from tests.browser.conftest import OpenTab


@pytest.mark.parametrize("name", [name for name in plays.PLAYS if name in PRESETS])
async def test_scenario_of_a_fault_ends_as_the_hint_says(
    tab: OpenTab, controller: Controller, name: str
) -> None:
    await plays.play(tab, controller, name)
