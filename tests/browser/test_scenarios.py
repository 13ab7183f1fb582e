"""Scenarios of the demo in the browser; integration/test_demo_script plays each of them."""

import re

import httpx
from playwright.async_api import expect

from bot.demo.controller import OPEN_STATES, Controller, state_of
from bot.demo.scenarios import OPS
from bot.sandbox.atlas import PROJECT_ID
from tests.browser.conftest import OpenTab
from tests.browser.screen import APP, CONFIRMED, LONG_TIMEOUT, Screen


async def test_scenario_mistake_takes_three_calls_after_the_submit(rina: Screen) -> None:
    """Nothing is deleted before the second click, and a warm cancel takes three calls."""
    await rina.open_dialog()
    await rina.wait_for("#modal button", "Cancel the job")
    before = await rina.calls()
    await rina.page.keyboard.type("wrong cluster")
    await rina.click("#modal button", "Cancel the job")
    await rina.wait_for_card(CONFIRMED)
    await rina.click(".replies")
    await rina.wait_for("#thread .message", "is cancelled")
    calls = await rina.calls()

    assert before[-1] == "GET 200"
    assert not [row for row in before if "DELETE" in row]
    assert calls[-4:] == ["Rina submittedCancel the job", "GET 200", "DELETE 204", "GET 200"]


async def test_scenario_approval_cancels_after_the_approval_in_another_tab(tab: OpenTab) -> None:
    rina, ada = await tab("rina"), await tab("ada")
    await rina.start_scenario("approval")
    await rina.submit_request()
    await rina.wait_for_card("Waits for approval")
    await ada.wait_for_card("Waits for approval")
    unsent = await rina.calls()
    await ada.click("[data-action=cancel_restore_approve]")
    await ada.wait_for("#confirm[open]", "Cancel this download?")
    await ada.click("#confirm button", "Approve")
    await ada.wait_for_card(CONFIRMED)
    await rina.wait_for_card(CONFIRMED)
    await rina.wait_for_card("Approved by @Ada")

    assert "DELETE 204" not in unsent
    assert "DELETE 204" in await rina.calls()


async def test_scenario_quarantine_keeps_the_download_with_a_reason(
    tab: OpenTab, controller: Controller
) -> None:
    ada = await tab("ada")
    await ada.start_scenario("quarantine")
    job = controller.state()["command"].split()[-1]
    await ada.wait_for_quarantine()
    await ada.click("[data-action=cancel_restore_keep]")
    await ada.wait_for("#modal", "Keep the download")
    await ada.page.fill("#modal textarea", "the yearly audit asked for it")
    await ada.click("#modal button", "Keep it")
    await ada.wait_for_quarantine("Kept: the download goes on")

    assert controller.atlas.deletes(job) == []
    assert controller.atlas.world.job(job).state == "running"


async def test_scenario_not_mine_asks_the_starter_and_cancels_at_once(tab: OpenTab) -> None:
    rina = await tab("rina")
    await rina.start_scenario("not-mine")
    await rina.wait_for_quarantine()
    await rina.go(APP)
    await rina.wait_for(".message", "Was it you?")
    await rina.click("[data-action=cancel_restore_not_mine]")
    await rina.click("#confirm button", "It was not me")
    await rina.wait_for(".message", "You answered that it was not you")
    await rina.go("ops")
    await rina.wait_for_quarantine(CONFIRMED)
    await rina.wait_for_quarantine("Not mine")

    assert "Rina opened the app" in await rina.calls()


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


async def test_scenario_slow_shows_the_loading_dialog_first(rina: Screen) -> None:
    """The dialog opens immediately and shows the details when Atlas answers."""
    await rina.start_scenario("slow")
    await rina.open_dialog()
    await rina.wait_for("#modal", "Looking up", within=1500)
    await rina.wait_for("#modal button", "Cancel the job")
    await rina.page.keyboard.press("Escape")
    await rina.wait_until_gone("#modal[open]")


async def test_scenario_down_cancels_after_atlas_is_repaired(rina: Screen) -> None:
    """The bot retries, so the dialog shows the details once Atlas answers again."""
    await rina.start_scenario("down")
    await rina.open_dialog()
    await rina.wait_for("#modal .of-the-demo", "Atlas cuts every connection")
    await rina.click("#modal button", "Clear the fault")
    await rina.wait_for("#modal button", "Cancel the job", within=LONG_TIMEOUT)
    await rina.click("#modal button", "Cancel the job")
    await rina.wait_for_card(CONFIRMED)


async def test_scenario_restart_sends_one_delete(rina: Screen, controller: Controller) -> None:
    """The restarted bot finishes the request with one DELETE."""
    await rina.start_scenario("restart")
    job = controller.state()["command"].split()[-1]
    before = controller.state()["pid"]
    await rina.submit_request()
    await rina.wait_for_card("Asking Atlas")
    await rina.click("button", "Kill the bot")
    await rina.wait_for(".bot", "The bot is stopped")
    await rina.send("/cancel-restore help")
    await rina.wait_for(".private", "Slash command failed")
    await rina.click("button", "Start it again")
    await rina.wait_for(".bot", "The bot is running")
    await rina.wait_for_card(CONFIRMED, within=LONG_TIMEOUT)
    orphans = await rina.find("#calls .entry", "sent by the killed process").all_inner_texts()

    assert [text.split()[0] for text in orphans] == ["DELETE"]
    assert controller.state()["pid"] != before
    assert len(controller.atlas.deletes(job)) == 1


async def test_scenario_cut_after_reads_the_job_and_sends_no_second_delete(
    rina: Screen, controller: Controller
) -> None:
    await rina.start_scenario("cut-after")
    job = controller.state()["command"].split()[-1]
    await rina.submit_request()
    await rina.wait_for_card(CONFIRMED, within=LONG_TIMEOUT)

    assert len(controller.atlas.deletes(job)) == 1


async def test_downloads_of_a_scenario_are_not_announced_in_the_next(
    rina: Screen, controller: Controller
) -> None:
    left = controller.state()["command"].split()[-1]
    await rina.start_scenario("quarantine")
    await rina.wait_for_quarantine()

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


async def test_clock_counts_down_and_shows_how_long_before_the_link_the_cancellation_was(
    rina: Screen,
) -> None:
    await rina.wait_for(".clock", re.compile(r"^2:\d\d until the link$"))
    first = await rina.find(".clock").inner_text()
    await expect(rina.find(".clock")).not_to_have_text(first)
    await rina.submit_request()
    await rina.wait_for(".clock", re.compile(r"^Cancelled 2:\d\d before the link$"))


async def test_menu_begins_with_four_scenarios(rina: Screen) -> None:
    shown = await rina.page.eval_on_selector_all(
        "[data-scenario]",
        "all => all.filter(e => e.checkVisibility()).map(e => e.dataset.scenario)",
    )

    assert shown == ["mistake", "approval", "restart", "cut-after"]
