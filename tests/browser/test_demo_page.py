"""The path of a newcomer on the page of the demo, in Debian's Chromium."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from bot.demo.controller import Controller
from bot.demo.environment import open_demo
from bot.demo.scenarios import FIRST, SCENARIOS
from tests.support.required_programs import find, needs

SHELL = "chromium-headless-shell"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
WIDE, PHONE = ViewportSize(width=1400, height=900), ViewportSize(width=390, height=800)
TIMEOUT = 30_000  #: ms until a step shows, on a busy machine

#: Opens the page as Rina.
Open = Callable[[ViewportSize], Awaitable[Page]]

#: The elements that the reader would have to scroll sideways for.
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => one.outerHTML.slice(0, 120))"""


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    program = find(SHELL) or find("chromium") or needs(SHELL)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def demo(request: pytest.FixtureRequest, chromium: Browser) -> AsyncIterator[Controller]:
    """The demo in the scenario of the test, by default the first; not without a browser."""
    async with open_demo(getattr(request, "param", FIRST)) as controller:
        yield controller


@pytest.fixture
async def opened(chromium: Browser, demo: Controller) -> AsyncIterator[Open]:
    """Open the page; an error in its console fails the test, and so does a complaint of Slack."""
    errors: list[str] = []

    async def open_page(size: ViewportSize) -> Page:
        page = await chromium.new_page(viewport=size, locale="en-GB")
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda seen: errors.append(seen.text) if seen.type in {"error", "warning"} else None,
        )
        await page.goto(f"{demo.slack.base_url}/?as=rina")
        await page.locator("body.ready").wait_for()
        return page

    yield open_page
    assert errors + demo.slack.complaints == []


async def test_newcomer_cancels_the_download_and_reads_in_the_thread_that_atlas_confirms_it(
    opened: Open, demo: Controller
) -> None:
    page = await opened(WIDE)
    await page.get_by_text(SCENARIOS[FIRST].hint).wait_for()
    await page.get_by_role("button", name="Cancel this download", exact=True).click()
    await page.get_by_role("textbox", name="Why?").fill("started on the wrong cluster")
    await page.get_by_role("button", name="Cancel the download", exact=True).click()
    await page.get_by_role("button", name="1 reply").click()
    await page.locator("#thread").get_by_text("cancelled, Atlas confirms it").wait_for()

    calls = await page.locator("#calls .method").all_text_contents()
    assert demo.job
    assert (demo.job.state, len(demo.atlas.deletes(demo.job.id))) == ("cancelled", 1)
    assert calls[calls.index("DELETE") - 1 :][:3] == ["GET", "DELETE", "GET"]


@pytest.mark.parametrize("demo", ["maintenance"], indirect=True)
async def test_nothing_is_wider_than_a_phone_in_a_scenario_that_the_menu_does_not_have(
    opened: Open,
) -> None:
    page = await opened(PHONE)
    await page.get_by_text(SCENARIOS["maintenance"].hint).wait_for()
    button = page.get_by_role("button", name="Cancel this download", exact=True)
    await button.wait_for()
    channel = await page.evaluate(TOO_WIDE)
    await button.click()
    await page.get_by_role("textbox", name="Why?").wait_for()
    dialog = await page.evaluate(TOO_WIDE)
    await page.get_by_role("button", name="Go back").click()
    await page.get_by_role("button", name="Channels and scenarios").click()
    menu = await page.evaluate(TOO_WIDE)
    await page.get_by_role("button", name="Channels and scenarios").click()
    await page.get_by_role("button", name="Calls to Atlas and Slack").click()
    calls = await page.evaluate(TOO_WIDE)

    assert (channel, dialog, menu, calls) == ([], [], [], [])
