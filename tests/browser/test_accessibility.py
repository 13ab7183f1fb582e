"""Accessibility of the page: axe, both themes, narrow windows."""

import pytest
from axe_playwright_python.async_playwright import Axe

from bot.demo.controller import Controller
from tests.browser.conftest import OpenTab
from tests.browser.screen import CONFIRMED, Screen, live_job, serious


@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 360)])
async def test_page_and_dialog_have_no_serious_axe_violation(
    tab: OpenTab, controller: Controller, theme: str, width: int
) -> None:
    """Neither on the page with a card, a thread and a private message, nor in a dialog."""
    viewport = {"width": width, "height": 800}
    await controller.start_scenario("mistake")
    rina = await tab("rina", color_scheme=theme, viewport=viewport)
    await rina.send("/cancel-restore help")
    await rina.wait_for(".private")
    page = serious(await Axe().run(rina.page))
    await rina.send(f"/cancel-restore prod-us {live_job(controller, 'prod-us')}")
    await rina.wait_for("#modal .alert")
    dialog = serious(await Axe().run(rina.page))
    await rina.page.keyboard.press("Escape")
    await rina.wait_until_gone("#modal[open]")

    assert page == []
    assert dialog == []


async def test_axe_finds_nothing_serious_in_a_thread_and_the_jobs(rina: Screen) -> None:
    await rina.submit_request()
    await rina.wait_for_card(CONFIRMED)
    await rina.click("#calls [role=tab]", "Jobs in Atlas")
    newest = await rina.find("#calls .job").first.inner_text()
    jobs = serious(await Axe().run(rina.page))
    await rina.click(".replies")
    await rina.wait_for("#thread .message", "is cancelled")
    thread = serious(await Axe().run(rina.page))

    assert "cancelled" in newest
    assert jobs == []
    assert thread == []


async def test_theme_follows_the_system_until_one_is_chosen(tab: OpenTab) -> None:
    rina = await tab("rina", color_scheme="dark")
    dark = await rina.page.evaluate("getComputedStyle(document.body).backgroundColor")
    await rina.page.get_by_label("Light theme").click()
    await rina.open()
    light = await rina.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert (dark, light) == ("rgb(23, 25, 28)", "rgb(255, 255, 255)")


async def test_narrow_window_needs_no_horizontal_scrolling(tab: OpenTab) -> None:
    rina = await tab("rina", viewport={"width": 360, "height": 740})
    await rina.click("[data-key=menu]")
    await rina.start_scenario("mistake")
    await rina.submit_request()
    await rina.wait_for_card(CONFIRMED)
    widths = [await rina.page.evaluate("document.documentElement.scrollWidth")]
    await rina.click(".replies")
    await rina.wait_for("#thread .message", "is cancelled")
    await rina.page.get_by_label("Close the thread").click()
    await rina.click("[data-key=calls]")
    await rina.wait_for("#calls .entry")
    widths.append(await rina.page.evaluate("document.documentElement.scrollWidth"))

    assert widths == [360, 360]


PICKER = """select => {
    const one = select.cloneNode(true);
    [...one.options].filter((option) => !option.selected).forEach((option) => option.remove());
    one.style = "position: absolute; width: auto; max-width: none";
    select.after(one);
    const needed = one.offsetWidth;
    one.remove();
    return select.offsetWidth - needed;
}"""


async def test_persona_picker_shows_the_whole_name_and_role(
    tab: OpenTab, controller: Controller
) -> None:
    await controller.start_bot()
    rina = await tab("rina")
    cut = {}
    for name in ("rina", "ada", "abe", "gus", "olga"):
        await rina.open(f"?as={name}")
        for width in (320, 390, 700, 1280):
            await rina.page.set_viewport_size({"width": width, "height": 740})
            if (room := await rina.page.eval_on_selector("[data-key=who]", PICKER)) < 0:
                cut[name, width] = room

    assert cut == {}


#: Whether a list that has more than it can show is at its end.
AT_END = """list => list.scrollHeight > list.clientHeight
    && list.scrollHeight - list.scrollTop - list.clientHeight < 2"""


#: Whether the last message begins at the top of its list.
FIRST_LINE_SHOWS = """list => Math.abs(list.lastElementChild.getBoundingClientRect().top
    - list.getBoundingClientRect().top) < 2"""


async def test_lists_at_their_end_follow_what_is_new_after_the_window_was_resized(
    rina: Screen,
) -> None:
    await rina.page.set_viewport_size({"width": 390, "height": 600})
    for number in range(1, 7):
        await rina.send(f"/cancel-restore help {number}")
        await rina.wait_for("#channel .message.private >> nth=-1")
    followed: dict[object, bool] = {}
    for width in (1400, 390, 1400):
        await rina.page.set_viewport_size({"width": width, "height": 600})
        await rina.send(f"at {width} " + "of several lines " * 8)
        await rina.wait_for("#channel .message", f"at {width} ")
        followed[width, "messages"] = await rina.page.eval_on_selector(".messages", AT_END)
    await rina.submit_request()
    await rina.wait_for_card(CONFIRMED)
    followed["calls"] = await rina.page.eval_on_selector(".call-log", AT_END)
    assert all(followed.values()), followed


async def test_message_that_is_higher_than_the_list_shows_its_first_line(page: Screen) -> None:
    await page.page.set_viewport_size({"width": 390, "height": 600})
    await page.send("of several lines " * 200)
    await page.wait_for("#channel .message", "of several lines")

    assert await page.page.eval_on_selector(".messages", FIRST_LINE_SHOWS)


#: A scroll event is sent with the next frame: by then the message box has taken a part of the list.
SCROLL_AND_TYPE = """() => {
    const box = document.querySelector("#composer");
    document.querySelector(".messages").scrollTop -= 1;
    box.value = "line\\n".repeat(6);
    box.dispatchEvent(new Event("input"));
    return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}"""


async def test_list_at_its_end_follows_what_is_new_after_the_message_box_grew(
    page: Screen,
) -> None:
    await page.page.set_viewport_size({"width": 390, "height": 600})
    await page.send("of several lines " * 80)
    await page.wait_for("#channel .message", "of several lines")
    await page.page.evaluate(SCROLL_AND_TYPE)
    await page.send("the newest")
    await page.wait_for("#channel .message", "the newest")

    assert await page.page.eval_on_selector(".messages", AT_END)


async def test_list_that_a_reader_scrolled_up_stays_there(page: Screen) -> None:
    await page.send("of several lines " * 200)
    await page.wait_for("#channel .message", "of several lines")
    await page.find("#channel .messages").hover()
    await page.page.mouse.wheel(0, -100_000)
    await page.page.wait_for_function("document.querySelector('.messages').scrollTop === 0")
    await page.send("the newest")
    await page.wait_for("#channel .message", "the newest")

    assert await page.page.eval_on_selector(".messages", "list => list.scrollTop") == 0
