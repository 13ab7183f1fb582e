"""Scenarios of the demo in the browser: each as its hint says, and how the page shows them."""

import httpx
import pytest

from bot.demo.controller import OPEN_STATES, Controller, state_of
from bot.demo.scenarios import OPS, SCENARIOS
from bot.sandbox.atlas import PRESETS, PROJECT_ID
from tests.browser import plays
from tests.browser.conftest import OpenTab
from tests.browser.screen import APP, Screen


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in PRESETS])
async def test_scenario_has_title_and_hint_and_ends_as_the_hint_says(
    tab: OpenTab, controller: Controller, name: str
) -> None:
    await plays.play(tab, controller, name)


async def test_calls_of_the_command_line_stand_under_a_heading_of_their_own(
    rina: Screen, controller: Controller
) -> None:
    await rina.open_dialog()
    await rina.wait_for("#modal button", "Cancel the job")
    before = await rina.calls()
    _, cluster, job = controller.state()["command"].split()
    path = f"/api/atlas/v2/groups/{PROJECT_ID}/clusters/{cluster}/backup/restoreJobs/{job}"
    async with httpx.AsyncClient() as program:
        await program.get(f"{controller.atlas.url}{path}")
    await rina.wait_for("#calls .entry", "401")

    assert (await rina.calls())[len(before) :] == ["The command line", "GET 401"]


async def test_downloads_of_a_scenario_are_not_announced_in_the_next(
    rina: Screen, controller: Controller
) -> None:
    left = controller.state()["command"].split()[-1]
    await rina.start_scenario("quarantine")
    await rina.wait_for_card("Will be cancelled")

    assert await rina.find("#channel .message", left).count() == 0
    await rina.click("button", "Earlier messages")
    await rina.wait_for("#channel .message", left)
    assert await rina.find("#channel .message", left).count() == 1


async def test_next_scenario_ends_the_requests_of_the_last_and_marks_the_app_as_read(
    rina: Screen, controller: Controller
) -> None:
    """A question with its quarantine, then a request that waits for an approval."""
    await rina.start_scenario("not-mine")
    await rina.wait_for(".place.unread", APP)
    await rina.start_scenario("approval")
    await rina.wait_until_gone(".place.unread", APP)
    await rina.submit_request()
    await rina.wait_for_card("Waits for approval")
    await rina.start_scenario("mistake")
    cards = controller.slack.state.messages(OPS)
    await rina.click(".place", APP)
    await rina.wait_for(".home", "prod-eu")

    assert [card["ts"] for card in cards if state_of(card) in OPEN_STATES] == []
    assert await rina.find(".home", "Waits for approval").count() == 0


async def test_menu_begins_with_four_scenarios(rina: Screen) -> None:
    await rina.open("?as=rina")  # the menu of the scenario before may show all
    shown = await rina.page.eval_on_selector_all(
        "[data-scenario]",
        "all => all.filter(e => e.checkVisibility()).map(e => e.dataset.scenario)",
    )

    assert shown == ["mistake", "approval", "restart", "cut-after"]
