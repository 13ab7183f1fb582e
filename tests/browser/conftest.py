"""Fixtures: the running demo, and tabs of a headless Chromium on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from bot.demo import environment
from bot.demo.controller import Controller
from bot.sandbox.slack import FakeSlackServer
from tests.browser.screen import Screen
from tests.support.demo_process import ForkedBotProcess
from tests.support.required_programs import find, needs
from tests.support.timings import LONG_TIMEOUT_SLACK

#: Opens a tab for a person, with options of the browser context.
OpenTab = Callable[..., Awaitable[Screen]]

SHELL = "chromium-headless-shell"
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share one loop, browser and demo among these tests; each starts its scenario again."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def controller() -> AsyncIterator[Controller]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "BotProcess", ForkedBotProcess)
        slack = partial(FakeSlackServer, settings=LONG_TIMEOUT_SLACK)
        patch.setattr(environment, "FakeSlackServer", slack)
        async with environment.open_demo() as opened:
            yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    # Without the windows of the whole browser, which need more than half of its processor time.
    program = find(SHELL) or find("chromium") or needs(SHELL)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(chromium: Browser, controller: Controller) -> AsyncIterator[OpenTab]:
    """Open tabs; an error in any of them fails the test."""
    opened: list[Screen] = []

    async def open_tab(user: str = "rina", **context: object) -> Screen:
        options = {"viewport": {"width": 1400, "height": 900}, **context}
        page = await (await chromium.new_context(**options)).new_page()  # type: ignore[arg-type]  # any option
        screen = Screen(page, controller.slack.base_url)
        screen.listen()
        opened.append(screen)
        await screen.open(f"?as={user}")
        return screen

    yield open_tab
    errors = [error for screen in opened for error in screen.errors]
    for screen in opened:
        await screen.page.context.close()
    for person in controller.slack.workspace.users:
        # An open dialog would appear in the person's next tab.
        controller.slack.world.views.close(person)

    complaints = controller.slack.complaints[:]
    controller.slack.complaints.clear()  # or each test after this one fails, too
    assert (errors, complaints) == ([], [])


@pytest_asyncio.fixture(loop_scope="session")
async def page(tab: OpenTab) -> Screen:
    """Open Rina's tab in the scenario of the test before: it uses neither Atlas nor the bot."""
    return await tab()


@pytest_asyncio.fixture(loop_scope="session")
async def rina(tab: OpenTab) -> Screen:
    """Open Rina's tab in the first scenario."""
    screen = await tab()
    await screen.start_scenario("mistake")
    return screen
