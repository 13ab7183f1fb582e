"""Takes docs/demo.png from the running demo. Run: python docs/make_demo_picture.py [CHROMIUM]."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
import zlib
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


#: What another run shows differently.
NUMBER = re.compile(r"(today|yesterday) at \S+|\S*\d\S*")
#: The beginning of the chunk of a picture that has the words of its page.
WORDS = b"iTXtwords" + bytes(5)


async def take_picture(chromium: str, at: str) -> tuple[bytes, str]:
    """Cancel the announced download when the clock shows `at`; return the picture and the clock."""
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
        await cancel_download(page, at)
        shown = await page.locator("#channel").inner_text()
        picture = with_words(await page.screenshot(), NUMBER.sub("…", shown))
        time_left = await page.locator(".clock strong").inner_text()
        await browser.close()
    return picture, time_left


def with_words(picture: bytes, words: str) -> bytes:
    """Add the words of its page to a picture: a test compares them with those of today's demo."""
    chunk = WORDS + words.encode()
    size, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return picture[:-12] + size + chunk + check + picture[-12:]  # before its last chunk


def words_of(picture: bytes) -> str:
    """Return the words of a picture's page; numbers and times are left out."""
    return picture.partition(WORDS)[2][:-16].decode()


def describe(time_left: str) -> None:
    """Put the time that the picture shows into the words for it."""
    for page in PAGES:
        words = re.sub(r"(?<=Rina cancelled it )\d:\d\d", time_left, page.read_text("utf-8"))
        page.write_text(words, "utf-8")


async def cancel_download(page: Page, at: str) -> None:
    """Press the announcement's button, and submit the dialog when the clock shows `at`."""
    await page.locator("#channel [data-action=cancel_restore_open]").click()
    await page.locator("#modal [data-key=submit]").wait_for()
    await page.keyboard.type("Started on the wrong cluster")
    await page.locator(".clock", has_text=at).wait_for()
    started = page.locator("#channel .message", has_text="Started")
    await started.filter(has_not_text=re.compile("probably|not known")).wait_for()
    await page.locator("#modal [data-key=submit]").click()
    await page.locator(".clock", has_text="before the link").wait_for()
    await page.locator("#channel [data-action=cancel_restore_open]").wait_for(state="detached")
    card = page.locator("#channel .message", has_text="Cancelled: Atlas confirms it")
    await card.locator(".replies").wait_for()
    await page.mouse.move(0, 0)


if __name__ == "__main__":
    configure_logging("WARNING")
    taken, left = asyncio.run(take_picture(sys.argv[1] if len(sys.argv) > 1 else CHROMIUM, "2:15"))
    PICTURE.write_bytes(taken)
    describe(left)
