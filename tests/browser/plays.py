"""How people play the scenarios of the demo in the browser, as the hints say."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from playwright.async_api import expect

from bot.demo.controller import Controller
from bot.demo.scenarios import SCENARIOS
from tests.browser.conftest import OpenTab
from tests.browser.screen import APP, CONFIRMED, LONG_TIMEOUT, SUBMIT, Screen

#: What people do in a scenario, in Rina's tab and others.
Play = Callable[[Screen, OpenTab], Awaitable[None]]


async def cancel(rina: Screen, _tab: OpenTab) -> None:
    await rina.submit_request()


async def cancel_by_mistake(rina: Screen, _tab: OpenTab) -> None:
    """Nothing is deleted before the second click, and a warm cancel takes three calls."""
    await rina.wait_for(".clock", re.compile(r"^2:\d\d until the link$"))
    first = await rina.find(".clock").inner_text()
    await expect(rina.find(".clock")).not_to_have_text(first)
    await rina.open_dialog()
    await rina.wait_for("#modal button", "Cancel the job")
    before = await rina.calls()
    await rina.page.keyboard.type("wrong cluster")
    await rina.click("#modal button", "Cancel the job")
    await rina.wait_for(".clock", re.compile(r"^Cancelled 2:\d\d before the link$"))
    lead = await rina.find(".clock strong").inner_text()
    await rina.click(".replies")
    await rina.wait_for("#thread .message", f"({lead} min before it was expected)")
    calls = await rina.calls()

    assert before[-1] == "GET 200"
    assert not [row for row in before if "DELETE" in row]
    assert calls[-4:] == ["Rina submittedCancel the job", "GET 200", "DELETE 204", "GET 200"]


async def approve(rina: Screen, tab: OpenTab) -> None:
    ada = await tab("ada")
    await rina.submit_request()
    await ada.wait_for_card("Waits for approval")
    assert "DELETE 204" not in await rina.calls()
    await ada.approve()
    await ada.wait_for_card(CONFIRMED)
    await rina.wait_for_card("Approved by @Ada")


async def kill_the_bot(rina: Screen, _tab: OpenTab) -> None:
    """The restarted bot finishes the request with one DELETE."""
    await rina.submit_request()
    await rina.wait_for_card("Asking Atlas")
    await rina.click("button", "Kill the bot")
    await rina.wait_for(".bot", "The bot is stopped")
    await rina.send("/cancel-restore help")
    await rina.wait_for(".private", "Slash command failed")
    await rina.click("button", "Start it again")
    await rina.wait_for(".bot", "The bot is running")
    await rina.wait_for_card(CONFIRMED)
    orphans = rina.find("#calls .entry", "sent by the killed process").locator(".method")
    await expect(orphans).to_have_text(["DELETE"])


async def try_an_automated_restore(rina: Screen, _tab: OpenTab) -> None:
    await rina.click("button", "Type the command for me")
    await rina.page.press("#composer", "Enter")
    await rina.wait_for("#modal", "Atlas cancels downloads only")

    assert await rina.find("#modal button", SUBMIT).count() == 0


async def do_not_answer(rina: Screen, tab: OpenTab) -> None:
    await rina.submit_request()
    await rina.click(".replies")
    await expect(rina.find("#thread .message", "Reminder")).to_have_count(3, timeout=LONG_TIMEOUT)
    abe = await tab("abe")
    await abe.go(APP)
    await abe.wait_for(".message", "Escalated to you")
    await abe.approve()


async def act_alone(rina: Screen, tab: OpenTab) -> None:
    await rina.open_dialog()
    await rina.page.get_by_label("without approval").check()
    await rina.fill_in()
    ada = await tab("ada")
    await ada.click("[data-action=cancel_restore_review]")
    await rina.wait_for_card("Reviewed by @Ada")


async def wait_for_the_link(controller: Controller, rina: Screen, tab: OpenTab) -> None:
    """The link comes as soon as the request waits; the script proves that it comes in time."""
    await rina.submit_request()
    await rina.wait_for_card("Waits for approval")
    assert controller.job
    controller.job.release(controller.atlas.clock())
    controller.publish_state()
    await rina.wait_for(".clock", "The link is live")
    await rina.wait_for_card("live since")
    await (await tab("ada")).approve()


async def keep(_rina: Screen, tab: OpenTab) -> None:
    ada = await tab("ada")
    await ada.wait_for_card("Will be cancelled")
    await ada.click("[data-action=cancel_restore_keep]")
    await ada.wait_for("#modal", "Keep the download")
    await ada.page.fill("#modal textarea", "the yearly audit asked for it")
    await ada.click("#modal button", "Keep it")


async def deny_the_start(rina: Screen, _tab: OpenTab) -> None:
    await rina.wait_for_card("Will be cancelled")
    await rina.go(APP)
    await rina.wait_for(".message", "Was it you?")
    await rina.click("[data-action=cancel_restore_not_mine]")
    await rina.click("#confirm button", "It was not me")
    await rina.wait_for(".message", "You answered that it was not you")
    await rina.go("ops")
    await rina.wait_for_card("Not mine")

    assert "Rina opened the app" in await rina.calls()


async def wait_for_the_dialog(rina: Screen, _tab: OpenTab) -> None:
    await rina.open_dialog()
    await rina.wait_for("#modal", "Looking up", within=1500)
    await rina.page.keyboard.press("Space")  # which was typed elsewhere: it presses no button
    await rina.fill_in()


def clear_the_fault(words: str, *, again: bool = True) -> Play:
    async def play(rina: Screen, _tab: OpenTab) -> None:
        await rina.open_dialog()
        await rina.wait_for("#modal", words, LONG_TIMEOUT)
        await rina.click("#modal button", "Clear the fault")
        if again:
            await rina.click("#modal button", "Try again")
        await rina.fill_in()

    return play


async def try_again_on_the_card(rina: Screen, _tab: OpenTab) -> None:
    await rina.submit_request()
    await rina.wait_for_card("Atlas is under maintenance")
    await rina.click("button", "Clear the fault")
    await rina.click("[data-action=cancel_restore_retry]")
    await rina.click("#confirm button", "Try again")


async def cancel_without_the_starter(rina: Screen, tab: OpenTab) -> None:
    await rina.wait_for("#channel .message", "who started it is not known")
    await cancel(rina, tab)
    await rina.wait_for_card("not known")


#: The play of each scenario that is not only `cancel`.
PLAYS: Mapping[str, Play] = {
    "mistake": cancel_by_mistake,
    "approval": approve,
    "restart": kill_the_bot,
    "automated": try_an_automated_restore,
    "unanswered": do_not_answer,
    "alone": act_alone,
    "quarantine": keep,
    "not-mine": deny_the_start,
    "slow": wait_for_the_dialog,
    "down": clear_the_fault("Atlas cuts every connection", again=False),
    "access-list": clear_the_fault("may not be used from 203.0.113.7"),
    "maintenance": try_again_on_the_card,
    "feed-refused": cancel_without_the_starter,
}

#: What the card says at the end, where it is not that the download is cancelled.
ENDS = {"automated": "", "quarantine": "Kept: the download goes on"}

#: The DELETEs that Atlas gets, where it is not one.
DELETES = {"automated": 0, "quarantine": 0}


async def play(tab: OpenTab, controller: Controller, name: str) -> None:
    """Play a scenario until it ends as its hint says."""
    rina = await tab()
    await rina.start_scenario(name)
    await rina.wait_for(".sandbox", "Not Slack, not Atlas")
    await rina.wait_for(".scenario h2", SCENARIOS[name].title)
    await rina.wait_for(".scenario-text p", SCENARIOS[name].hint)
    assert controller.job
    plays: Mapping[str, Play] = {**PLAYS, "link-live": partial(wait_for_the_link, controller)}
    await plays.get(name, cancel)(rina, tab)
    if end := ENDS.get(name, CONFIRMED):
        await rina.wait_for_card(end)

    deletes = len(controller.atlas.deletes(controller.job.id))
    assert deletes == DELETES.get(name, 1) or (name == "maintenance" and deletes > 1)
    assert controller.job.cancelled is bool(deletes)
