"""The page as each person sees it, and the bot's dialogs in it."""

from tests.browser.conftest import OpenTab
from tests.browser.screen import CONFIRMED, Screen

_REPLY_ARRIVED = """() => import("/page/store.js").then(({ state }) =>
    [...state.messages.values()].some((place) =>
        [...place.values()].some((message) => message.text === "looking at it")))"""


async def test_sidebar_lists_the_channels_of_a_person(tab: OpenTab) -> None:
    seen = {}
    for user in ("rina", "gus", "olga"):
        screen = await tab(user)
        seen[user] = await screen.find("#sidebar .place .name").all_text_contents()

    assert seen == {
        "rina": ["ops", "quiet", "lobby", "shared", "Cancel restore"],
        "gus": ["ops", "Cancel restore"],
        "olga": ["shared"],
    }


async def test_persona_select_changes_the_person_and_the_address(rina: Screen) -> None:
    await rina.page.get_by_label("You are").select_option(label="Ada · approver")

    assert rina.page.url.endswith("?as=ada")


async def test_ephemeral_message_is_shown_to_its_person_only(tab: OpenTab) -> None:
    rina, gus = await tab("rina"), await tab("gus")
    await gus.send(f"/cancel-restore prod-eu {'a' * 24}")
    await gus.wait_for("#modal", "You may not ask")
    await gus.page.keyboard.press("Escape")
    await rina.send("/cancel-restore help")
    await rina.wait_for(".private", "Only visible to you")

    assert await gus.find(".private", "/cancel-restore history").count() == 0


async def test_people_of_other_organizations_have_no_command(tab: OpenTab) -> None:
    olga = await tab("olga")
    await olga.send("/cancel-restore help")
    await olga.wait_for(".toast", "from another organization")


async def test_click_counts_when_the_card_changes_between_press_and_release(tab: OpenTab) -> None:
    rina, ada = await tab("rina"), await tab("ada")
    await rina.start_scenario("approval")
    await rina.submit_request()
    approve = ada.find("[data-action=cancel_restore_approve]")
    await approve.hover()
    await ada.page.mouse.down()
    pressed = await approve.element_handle()
    await rina.click(".message:has([data-action=cancel_restore_approve]) [title='Reply in thread']")
    await rina.page.fill("#reply", "looking at it")
    await rina.page.press("#reply", "Enter")
    await ada.page.wait_for_function(_REPLY_ARRIVED)
    is_kept = await pressed.evaluate("button => button.isConnected")
    await ada.page.mouse.up()
    await ada.wait_for("#confirm[open]", "Cancel this download?")

    assert is_kept


async def test_page_changes_again_after_a_press_that_becomes_a_scroll(rina: Screen) -> None:
    button = rina.find("#channel [data-action=cancel_restore_open]")
    await button.dispatch_event("pointerdown", {"button": 0})
    await rina.send("looking at it")
    await rina.page.wait_for_function(_REPLY_ARRIVED)
    held = await rina.find(".message", "looking at it").count()
    await button.dispatch_event("pointercancel")
    await rina.wait_for(".message", "looking at it")

    assert held == 0


async def test_denial_without_a_reason_shows_an_error_at_the_field(tab: OpenTab) -> None:
    rina, ada = await tab("rina"), await tab("ada")
    await rina.start_scenario("approval")
    await rina.submit_request()
    await ada.click("[data-action=cancel_restore_deny]")
    await ada.wait_for("#modal", "Deny cancelling")
    await ada.click("#modal button", "Deny")
    await ada.wait_for("#modal .error", "Please complete this required field.")
    focused = await ada.focused_key()
    toast = await ada.find(".toast").text_content()
    await ada.page.keyboard.type("It is needed for the audit.")
    await ada.click("#modal button", "Deny")
    await ada.wait_for_card("Denied: the bot does not cancel this download")
    await rina.wait_for_card("It is needed for the audit.")

    assert focused == "reason/reason"
    assert toast == ""  # it would lie over the card


async def test_job_is_picked_by_typing(rina: Screen) -> None:
    await rina.send("/cancel-restore")
    cluster = rina.page.get_by_role("combobox", name="Cluster")
    await cluster.fill("staging")
    await rina.wait_for("[role=option]", "staging-eu")
    await cluster.press("Enter")
    job = rina.page.get_by_role("combobox", name="Download")
    await job.click()
    await rina.wait_for("[role=option][aria-selected=true]")
    await job.press("Enter")
    await rina.wait_for("#modal .fields", "download of a snapshot")
    await rina.page.keyboard.press("Escape")
    await rina.wait_until_gone("#modal[open]")


async def test_button_of_the_list_opens_the_dialog(rina: Screen) -> None:
    await rina.send("/cancel-restore list")
    await rina.click(".private [data-action=cancel_restore_open]")
    await rina.wait_for("#modal button", "Cancel the job")
    await rina.click("#modal button", "Go back")
    await rina.wait_until_gone("#modal[open]")


async def test_menu_of_a_message_stays_open_and_its_shortcut_opens_the_dialog(
    tab: OpenTab, rina: Screen
) -> None:
    announcement = rina.find("#channel .message", "Cancel this download")
    await announcement.hover()
    await announcement.get_by_label("More actions").click()
    await (await tab("gus")).send("looking at it")
    await rina.wait_for("#channel .message", "looking at it")
    await rina.click(".menu:popover-open button", "Cancel this download")
    await rina.wait_for("#modal button", "Cancel the job")
    await rina.click("#modal button", "Cancel the job")
    await rina.wait_for_card(CONFIRMED)


async def test_home_tab_shows_the_published_view(rina: Screen) -> None:
    await rina.click(".place", "Cancel restore")
    await rina.wait_for(".home", "Downloads that can be cancelled now")
    await rina.wait_for(".home [data-action=cancel_restore_open]")
    await rina.click(".tabs button", "Messages")
    await rina.wait_for("#composer")


async def test_link_to_a_card_reveals_it_in_the_page(rina: Screen) -> None:
    await rina.submit_request()
    await rina.wait_for_card(CONFIRMED)
    await rina.send("/cancel-restore history")
    await rina.wait_for(".private a[href*='/archives/']")
    await rina.find(".private a[href*='/archives/']").first.click()
    await rina.wait_for(".message.revealed", "Cancellation asked by")
