"""Takes docs/demo.png from the running demo. Run: python docs/make_demo_picture.py [CHROMIUM]."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

from bot.demo.server import open_demo
from bot.log_config import configure_logging

if TYPE_CHECKING:
    from playwright.async_api import Page

PICTURE = Path(__file__).with_name("demo.png")
CHROMIUM = "/usr/bin/chromium-headless-shell"
WIDTH, HEIGHT = 1500, 900

#: Milliseconds per step.
STEP_TIMEOUT = 15_000


async def take_picture(chromium: str) -> None:
    """Cancel a restore job with one approval, and take the page with its thread open."""
    async with open_demo(approvals=1) as demo, async_playwright() as playwright:
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
        await run_request(page)
        await page.screenshot(path=PICTURE)
        await browser.close()


async def run_request(page: Page) -> None:
    """Request as Rina, approve as Ada, and open the thread."""
    await page.get_by_role("button", name="Type the command for me").click()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Cancel the job").wait_for()
    await page.keyboard.type("Started on the wrong cluster")
    await page.get_by_role("button", name="Cancel the job").click()
    await page.get_by_label("You are").select_option(label="Ada \u00b7 approver")
    await page.get_by_role("button", name="Approve").click()
    await page.locator("#confirm").get_by_role("button", name="Approve").click()
    await page.get_by_text("Cancelled: Atlas confirms it").wait_for()
    await page.get_by_role("button", name="replies").click()
    await page.locator("#thread").get_by_text("is cancelled. ").last.wait_for()
    await page.mouse.move(0, 0)


if __name__ == "__main__":
    configure_logging("WARNING")
    asyncio.run(take_picture(sys.argv[1] if len(sys.argv) > 1 else CHROMIUM))
