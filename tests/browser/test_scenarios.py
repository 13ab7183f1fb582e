"""Each scene of the demo, played by clicking as a person would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.screen import CONFIRMED, LONG_TIMEOUT, TIMEOUT

if TYPE_CHECKING:
    from bot.demo.controller import Controller
    from tests.browser.conftest import OpenTab
    from tests.browser.screen import Screen


async def test_scenario_mistake_takes_three_calls_after_the_submit(rina: Screen) -> None:
    """Nothing is deleted before the second click, and a warm cancel takes three calls."""
    await rina.looks_up()
    await rina.sees("#modal button", "Cancel the job")
    before = await rina.wire()
    await rina.page.keyboard.type("wrong cluster")
    await rina.clicks("#modal button", "Cancel the job")
    await rina.sees_card(CONFIRMED)
    await rina.clicks(".replies")
    await rina.sees("#thread .message", "is cancelled")
    wire = await rina.wire()

    assert before[-1] == "GET 200"
    assert not [row for row in before if "DELETE" in row]
    assert wire[-4:] == ["Rina submittedCancel the job", "GET 200", "DELETE 204", "GET 200"]


async def test_scenario_approval_cancels_after_the_approval_in_another_tab(tab: OpenTab) -> None:
    rina, ada = await tab("rina"), await tab("ada")
    await rina.plays("approval")
    await rina.asks()
    await rina.sees_card("Waits for approval")
    await ada.sees_card("Waits for approval")
    unsent = await rina.wire()
    await ada.clicks("[data-action=cancel_restore_approve]")
    await ada.sees("#question[open]", "Approve this?")
    await ada.clicks("#question button", "Approve")
    await ada.sees_card(CONFIRMED)
    await rina.sees_card(CONFIRMED)
    await rina.sees_card("Approved by @Ada")

    assert "DELETE 204" not in unsent
    assert "DELETE 204" in await rina.wire()


async def test_command_is_disabled_while_a_scenario_is_prepared(rina: Screen, tab: OpenTab) -> None:
    """The bot starts anew for another number of approvals; nobody may type into that."""
    ada = await tab("ada")
    await rina.clicks("[data-scene=approval]")
    await rina.sees("[data-key=type]:disabled")
    await ada.sees("[data-key=type]:disabled")
    await ada.sees("[data-key=type]:enabled", within=2 * TIMEOUT)
    await ada.sees(".scene", "Two people and an approval")


async def test_scenario_automated_shows_the_refusal(rina: Screen) -> None:
    await rina.plays("automated")
    await rina.looks_up()
    await rina.sees("#modal .alert", "Atlas cancels downloads only")

    assert await rina.find("#modal footer button").all_text_contents() == ["Close"]


async def test_scenario_slow_shows_the_loading_dialog_first(rina: Screen) -> None:
    """The dialog is there at once, and fills when Atlas answers."""
    await rina.plays("slow")
    await rina.looks_up()
    await rina.sees("#modal", "Looking up", within=1500)
    await rina.sees("#modal button", "Cancel the job")
    await rina.page.keyboard.press("Escape")
    await rina.misses("#modal[open]")


async def test_scenario_rate_limited_cancels_after_three_429(rina: Screen) -> None:
    await rina.plays("rate-limited")
    await rina.asks(within=LONG_TIMEOUT)
    await rina.sees_card(CONFIRMED, within=LONG_TIMEOUT)

    assert (await rina.wire()).count("GET 429") == 3


async def test_scenario_down_cancels_after_atlas_is_repaired(rina: Screen) -> None:
    """The bot keeps trying, so that the dialog fills as soon as Atlas is there again."""
    await rina.plays("down")
    await rina.looks_up()
    await rina.sees("#modal .of-the-demo", "Atlas cuts every connection")
    await rina.clicks("#modal button", "Mend Atlas")
    await rina.sees("#modal button", "Cancel the job", within=LONG_TIMEOUT)
    await rina.clicks("#modal button", "Cancel the job")
    await rina.sees_card(CONFIRMED)


async def test_scenario_cut_after_sends_one_delete(rina: Screen) -> None:
    """The bot looks, and sends no second DELETE."""
    await rina.plays("cut-after")
    await rina.asks()
    await rina.sees_card(CONFIRMED, within=LONG_TIMEOUT)
    deletes = [row for row in await rina.wire() if row.startswith("DELETE")]

    assert deletes == ["DELETE cut"]


async def test_scenario_restart_sends_one_delete(rina: Screen, stage: Controller) -> None:
    """It finishes what it had begun, with one DELETE."""
    await rina.plays("restart")
    job = stage.state()["line"].split()[-1]
    before = stage.state()["pid"]
    await rina.asks()
    await rina.sees_card("Asking Atlas")
    await rina.clicks("button", "Kill the bot")
    await rina.sees(".bot", "The bot is dead")
    await rina.types("/cancel-restore help")
    await rina.sees(".private", "Slash command failed")
    await rina.clicks("button", "Start it again")
    await rina.sees(".bot", "The bot runs")
    await rina.sees_card(CONFIRMED, within=LONG_TIMEOUT)
    orphans = await rina.find("#wire .entry", "sent by the killed process").all_inner_texts()

    assert [text.split()[0] for text in orphans] == ["DELETE"]
    assert stage.state()["pid"] != before
    assert len(stage.atlas.deletes(job)) == 1


async def test_scenario_access_list_shows_the_error_and_try_again(rina: Screen) -> None:
    """One of the further faults: the dialog says what Atlas said, with a button to look again."""
    await rina.plays("access-list")
    await rina.looks_up()
    await rina.sees("#modal", "access list")
    await rina.clicks("#modal button", "Mend Atlas")
    await rina.misses("#modal .of-the-demo")
    await rina.clicks("#modal button", "Try again")
    await rina.sees("#modal button", "Cancel the job")
    await rina.clicks("#modal button", "Cancel the job")
    await rina.sees_card(CONFIRMED)
