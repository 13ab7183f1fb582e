"""The demo as it runs for people, and browsers on it: Debian's Chromium, without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from bot.demo.server import open_stage
from tests.browser.screen import Screen
from tests.support.needs import needs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser

    from bot.demo.controller import Controller

    #: Opens a tab: the persona, and more for the browser's context.
    OpenTab = Callable[..., Awaitable[Screen]]

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let all of these tests share one loop, one browser and one demo: each begins a scene anew."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage() -> AsyncIterator[Controller]:
    async with open_stage() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    program = needs("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(chromium: Browser, stage: Controller) -> AsyncIterator[OpenTab]:
    """Open tabs; whatever goes wrong in one of them fails the test."""
    opened: list[Screen] = []

    async def open_tab(who: str = "rina", **context: object) -> Screen:
        given = {"viewport": {"width": 1400, "height": 900}, **context}
        page = await (await chromium.new_context(**given)).new_page()  # type: ignore[arg-type]  # any option
        screen = Screen(page, stage.slack.base_url)
        screen.listen()
        opened.append(screen)
        await screen.open(f"?as={who}")
        return screen

    yield open_tab
    troubles = [trouble for screen in opened for trouble in screen.troubles]
    for screen in opened:
        await screen.page.context.close()
    for person in stage.slack.workspace.users:
        stage.slack.world.views.clear(person)  # a dialog stays open for the next tab of a person

    assert troubles == []
    assert stage.slack.complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def rina(tab: OpenTab) -> Screen:
    """Rina's tab, in the first scene."""
    screen = await tab()
    await screen.plays("mistake")
    return screen
