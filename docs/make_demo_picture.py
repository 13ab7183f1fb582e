"""Takes docs/demo.png from the running demo. Run: python docs/make_demo_picture.py [CHROMIUM]."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

from bot.demo.environment import open_demo
from bot.log_config import configure_logging

if TYPE_CHECKING:
    from playwright.async_api import Page

PICTURE = Path(__file__).with_name("demo.png")
#: The pages with the picture: their words for it have the time that it shows.
PAGES = (PICTURE.with_name("demo.md"), PICTURE.parents[1] / "README.md")
CHROMIUM = "/usr/bin/chromium-headless-shell"
WIDTH, HEIGHT = 1400, 1060

#: Milliseconds per step; the picture shows a cancellation about 45 seconds after the start.
STEP_TIMEOUT = 60_000


async def take_picture(chromium: str) -> None:
    """Cancel the download that the bot announces, and take the page."""
    async with open_demo() as demo, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        context = await browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme="light",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(STEP_TIMEOUT)
        page = await context.new_page()
        await page.goto(demo.slack.base_url)
        await cancel_download(page)
        await page.screenshot(path=PICTURE)
        describe(await page.locator(".clock strong").inner_text())
        await browser.close()


def describe(time_left: str) -> None:
    """Put the time that the picture shows into the words for it."""
    for page in PAGES:
        words = re.sub(r"(?<=Rina cancelled it )\d:\d\d", time_left, page.read_text("utf-8"))
        page.write_text(words, "utf-8")


async def cancel_download(page: Page) -> None:
    """Press the announcement's button, and submit the dialog when 2:15 are left."""
    await page.locator("#channel [data-action=cancel_restore_open]").click()
    await page.locator("#modal [data-key=submit]").wait_for()
    await page.keyboard.type("Started on the wrong cluster")
    await page.locator(".clock", has_text="2:15").wait_for()
    await page.locator("#modal [data-key=submit]").click()
    await page.locator(".clock", has_text="before the link").wait_for()
    await page.locator("#channel [data-action=cancel_restore_open]").wait_for(state="detached")
    await page.locator("#channel .replies").wait_for()
    await page.mouse.move(0, 0)


if __name__ == "__main__":
    configure_logging("WARNING")
    asyncio.run(take_picture(sys.argv[1] if len(sys.argv) > 1 else CHROMIUM))
