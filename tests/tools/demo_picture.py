"""Make the pictures of the demo: `python -m tests.tools.demo_picture`.

It plays two scenarios of `cancel-restore demo` in Debian's chromium-headless-shell: an animated
picture, docs/demo.webp, and a still one, docs/demo.png. Chromium encodes each frame, so that
nothing else is needed.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack, unpack_from

from playwright.sync_api import Browser, Locator, Page, sync_playwright

ANIMATED, STILL = Path("docs/demo.webp"), Path("docs/demo.png")
CHROMIUM = "/usr/bin/chromium-headless-shell"
#: Sizes in CSS pixels. Below 900 the page shows the channel alone.
CHANNEL = (860, 560)
PAGE = (1280, 820)
SCALE = 1.5  #: pixels of the animated picture for one CSS pixel
GLIDE_FRAMES, GLIDE_MS = 8, 50  #: of the pointer from one place to the next
WAIT = 20_000  #: ms until a step of the bot must show

#: Draws a frame with the pointer, and returns the part that differs from the frame before.
ENCODE = """
async ({png, scale, x, y}) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const {width, height} = image;
  const context = (part) => part.getContext("2d", {alpha: false, willReadFrequently: true});
  const frame = context(new OffscreenCanvas(width, height));
  frame.drawImage(image, 0, 0);
  frame.translate(x * scale, y * scale);
  frame.scale(scale, scale);
  const pointer = new Path2D("M0 0 L0 17 L4.2 13.2 L7 19.6 L9.6 18.5 L6.8 12.2 L12.4 12.2 Z");
  frame.fillStyle = "#000";
  frame.strokeStyle = "#fff";
  frame.lineWidth = 1.5;
  frame.fill(pointer);
  frame.stroke(pointer);
  const pixels = new Uint32Array(frame.getImageData(0, 0, width, height).data.buffer);
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let at = 0; at < pixels.length; at++) {
    if (pixels[at] === globalThis.before?.[at]) continue;
    const [column, row] = [at % width, Math.floor(at / width)];
    [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row + 1)];
  }
  globalThis.before = pixels;
  if (!right) [left, top, right, bottom] = [0, 0, 2, 2];
  [left, top] = [left & ~1, top & ~1]; // the format has even offsets alone
  const part = new OffscreenCanvas(right - left, bottom - top);
  context(part).drawImage(frame.canvas, -left, -top);
  const blob = await part.convertToBlob({type: "image/webp", quality: 1}); // 1: without loss
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const data = btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
  return {left, top, width: part.width, height: part.height, data};
}
"""


def main() -> None:
    with sync_playwright() as playwright, demo() as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        film = Film(opened(browser, address, CHANNEL, SCALE), browser.new_page())
        cancel_alone(film)
        ANIMATED.write_bytes(film.webp())
        page = opened(browser, address, PAGE, 1)
        ask_and_approve(page)
        page.screenshot(path=STILL)
        browser.close()
    for path in (ANIMATED, STILL):
        sys.stdout.write(f"{path}: {path.stat().st_size // 1000} kB\n")


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo; yield the address of its page."""
    command = [sys.executable, "-P", "-m", "bot", "demo", "--json", "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TZ": "UTC"})
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())["page"]
    finally:
        process.terminate()
        process.wait(WAIT / 1000)


def opened(browser: Browser, address: str, size: tuple[int, int], scale: float) -> Page:
    """Return the page as Rina sees it."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        color_scheme="light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    page.set_default_timeout(WAIT)
    page.goto(f"{address}?as=rina")
    page.locator("body.ready").wait_for()
    return page


@dataclass
class Film:
    """Frames of a page, and how long each is shown."""

    page: Page
    encoder: Page
    pointer: tuple[float, float] = (700.0, 480.0)
    _frames: list[bytes] = field(default_factory=list)

    def hold(self, milliseconds: int) -> None:
        """Show the page as it is now."""
        self._add(base64.b64encode(self.page.screenshot(animations="disabled")), milliseconds)

    def glide(self, target: Locator) -> None:
        """Move the pointer to an element."""
        box = target.bounding_box()
        assert box
        (x, y), still = self.pointer, base64.b64encode(self.page.screenshot())
        to_x, to_y = box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6
        for step in range(1, GLIDE_FRAMES + 1):
            part = step / GLIDE_FRAMES
            eased = part * part * (3 - 2 * part)
            self.pointer = (x + (to_x - x) * eased, y + (to_y - y) * eased)
            self._add(still, GLIDE_MS)
        self.page.mouse.move(*self.pointer)
        self.hold(300)

    def _add(self, png: bytes, milliseconds: int) -> None:
        x, y = self.pointer
        arguments = {"png": png.decode(), "scale": SCALE, "x": x, "y": y}
        part = self.encoder.evaluate(ENCODE, arguments)
        box = b"".join(
            value.to_bytes(3, "little")
            for value in (
                part["left"] // 2,
                part["top"] // 2,
                part["width"] - 1,
                part["height"] - 1,
                milliseconds,
            )
        )
        image = pixels_of(base64.b64decode(part["data"]))
        self._frames.append(chunk(b"ANMF", box + b"\x02" + image))  # 2: no blending

    def webp(self) -> bytes:
        """Return the frames as one animated picture, which repeats for ever."""
        width, height = (int(side * SCALE) - 1 for side in CHANNEL)
        size = width.to_bytes(3, "little") + height.to_bytes(3, "little")
        head = chunk(b"VP8X", b"\x02\0\0\0" + size)  # 2: it has frames
        background_and_loops = chunk(b"ANIM", pack("<IH", 0xFFFFFFFF, 0))
        return chunk(b"RIFF", b"WEBP" + head + background_and_loops + b"".join(self._frames))


def chunk(name: bytes, content: bytes) -> bytes:
    return name + pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def pixels_of(file: bytes) -> bytes:
    """Return the chunk with the pixels of a still picture, without size and colour profile."""
    start = file.index(b"VP8L")
    (length,) = unpack_from("<I", file, start + 4)
    return chunk(b"VP8L", file[start + 8 : start + 8 + length])


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def cancel_alone(film: Film) -> None:
    """Cancel the announced download, for which no approval is needed."""
    page = film.page
    film.hold(1_000)
    page.get_by_text("by dana@shop.example").wait_for()
    film.hold(3_000)
    film.glide(button(page, "Cancel this download"))
    page.mouse.down()
    page.mouse.up()
    submit = button(page, "Cancel the download")
    submit.wait_for()
    film.hold(1_800)
    reason = page.get_by_role("textbox", name="Why?")
    for part in ("started on", " the wrong", " cluster"):
        reason.press_sequentially(part)
        film.hold(300)
    film.glide(submit)
    page.mouse.down()
    page.mouse.up()
    page.get_by_text("Cancelled. Atlas confirms it").first.wait_for()
    button(page, "1 reply").wait_for()
    film.hold(3_500)


def ask_and_approve(page: Page) -> None:
    """Ask as Rina, approve as Ada, and show the thread."""
    button(page, "Two people and an approval").click()
    button(page, "Cancel this download").click()
    page.get_by_role("textbox", name="Why?").fill("started on the wrong cluster")
    button(page, "Ask for approval").click()
    button(page, "Approve cancelling").wait_for()
    page.get_by_label("You are").select_option(label="Ada · approver")
    button(page, "Approve cancelling").click()
    page.get_by_text("Cancelled. Atlas confirms it").first.wait_for()
    button(page, "3 replies").click()
    page.locator("#thread").get_by_text("No link was seen.").wait_for()


if __name__ == "__main__":
    main()
