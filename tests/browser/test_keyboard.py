"""Using the page with the keyboard only."""

from bot.demo.controller import Controller
from tests.browser.conftest import OpenTab
from tests.browser.screen import CONFIRMED, Screen, live_job


async def test_job_is_cancelled_by_keyboard(tab: OpenTab, controller: Controller) -> None:
    job = live_job(controller, "prod-eu")
    rina = await tab()
    keys = rina.page.keyboard
    await keys.press("Tab")
    await rina.wait_for(".skip:focus")
    await keys.press("Enter")
    await keys.type("/can")
    await rina.wait_for(".usage", "[CLUSTER] [JOB_ID]")
    await keys.press("Tab")
    typed = await rina.page.input_value("#composer")
    await keys.type(f"prod-eu {job}")
    await keys.press("Enter")
    await rina.wait_for("#modal button", "Cancel the job")
    await keys.type("by keyboard")
    focused = ""
    for _button_then_link_then_close in range(5):
        if focused != "submit":
            await keys.press("Tab")
            focused = await rina.focused_key()
    await keys.press("Enter")
    await rina.wait_for_card(CONFIRMED, job=job)

    assert typed == "/cancel-restore "
    assert focused == "submit"


async def test_focus_stays_in_the_dialog_and_escape_closes_it(
    rina: Screen, controller: Controller
) -> None:
    await rina.send(f"/cancel-restore prod-us {live_job(controller, 'prod-us')}")
    await rina.wait_for("#modal button", "Cancel the job")
    first = await rina.focused_key()
    inside = []
    for _ in range(12):
        await rina.page.keyboard.press("Tab")
        inside.append(await rina.page.evaluate("Boolean(document.activeElement.closest('#modal'))"))
    await rina.page.keyboard.press("Escape")
    await rina.wait_until_gone("#modal[open]")

    assert first == "reason/reason"
    assert all(inside)
    assert await rina.focused_key() == "composer/composer"


async def test_arrow_keys_recall_typed_lines(rina: Screen) -> None:
    await rina.send("/cancel-restore help")
    await rina.send("good morning")
    await rina.page.focus("#composer")
    read = []
    for key in ("ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown"):
        await rina.page.keyboard.press(key)
        read.append(await rina.page.input_value("#composer"))

    assert read == ["good morning", "/cancel-restore help", "good morning", ""]
