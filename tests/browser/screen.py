"""One person's browser tab: what they do in it, what they see, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

if TYPE_CHECKING:
    import re

    from axe_playwright_python.base import AxeResults
    from playwright.async_api import ConsoleMessage, Error, Locator, Page, Request, Response

Json = dict[str, Any]

#: Milliseconds in which something must be seen; a lasting fault may take the bot 30 seconds.
TIMEOUT = 10_000
LONG_TIMEOUT = 40_000

CONFIRMED = "Cancelled: Atlas confirms it"


@dataclass  # Playwright keeps things of its own in it
class Screen:
    """A tab."""

    page: Page
    base: str
    troubles: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note everything that must not happen in a tab."""
        self.page.on("console", self._said)
        self.page.on("pageerror", self._broke)
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console: {message.text}")

    def _broke(self, error: Error) -> None:
        self.troubles.append(f"error: {error}")

    def _failed(self, request: Request) -> None:
        if request.url.endswith("/_sandbox/events") and request.failure == "net::ERR_ABORTED":
            return  # a page that is left or loaded anew ends its stream
        self.troubles.append(f"failed: {request.url} {request.failure}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.base):
            self.troubles.append(f"outside: {request.url}")

    def _answered(self, response: Response) -> None:
        if not response.ok:
            self.troubles.append(f"{response.status}: {response.url}")

    async def open(self, query: str = "") -> None:
        await self.page.goto(f"{self.base}/{query}")
        await self.sees("body.ready")

    def find(self, selector: str, text: str | re.Pattern[str] | None = None) -> Locator:
        return self.page.locator(selector, has_text=text)

    async def sees(
        self, selector: str, text: str | re.Pattern[str] | None = None, within: int = TIMEOUT
    ) -> None:
        await expect(self.find(selector, text).last).to_be_visible(timeout=within)

    async def misses(self, selector: str, text: str | None = None, within: int = TIMEOUT) -> None:
        await expect(self.find(selector, text)).to_have_count(0, timeout=within)

    async def clicks(self, selector: str, text: str | None = None) -> None:
        await self.find(selector, text).last.click(timeout=TIMEOUT)

    async def plays(self, scene: str) -> None:
        """Choose a scene in the menu, and wait until it is set."""
        button = self.find(f"[data-scene='{scene}']")
        if not await button.is_visible():
            await self.clicks("summary", "More faults")
        await button.click()
        current = self.find(f"[data-scene='{scene}'][aria-current]")
        await expect(current).to_have_count(1, timeout=2 * TIMEOUT)
        await self.misses("[aria-busy]")

    async def types(self, line: str) -> None:
        await self.page.fill("#composer", line)
        await self.page.press("#composer", "Enter")

    async def looks_up(self) -> None:
        """Have the command of the scene typed, and send it."""
        await self.clicks("button", "Type the command for me")
        await self.page.keyboard.press("Enter")

    async def asks(self, reason: str = "started by mistake", within: int = TIMEOUT) -> None:
        """Look the scene's job up, fill in a reason, and submit."""
        await self.looks_up()
        await self.sees("#modal button", "Cancel the job", within)
        await self.page.fill("#modal textarea", reason)
        await self.clicks("#modal button", "Cancel the job")
        await self.misses("#modal[open]")

    async def sees_card(self, words: str, within: int = TIMEOUT, job: str = "") -> None:
        """See the card about a job (that of the scene) in a state."""
        job = job or await self.page.evaluate(_JOB)
        card = self.find("#channel .message:not(.private)", "Asked by").filter(has_text=job)
        await expect(card).to_contain_text(words, timeout=within)

    async def wire(self) -> list[str]:
        """Read the tape since the scene began: `GET 200`, `DELETE cut`, or what somebody did."""
        rows = await self.page.eval_on_selector_all("#wire .entry", _ROWS)
        starts = [at for at, row in enumerate(rows) if row.startswith("Scene:")]
        return list(rows[starts[-1] + 1 :]) if starts else list(rows)

    async def focus(self) -> str:
        """Name what has the focus: its data-key, or its id."""
        return str(await self.page.evaluate(_FOCUS))


_JOB = "import('/page/store.js').then((store) => store.state.stage.line.split(' ').at(-1))"

_FOCUS = "document.activeElement.dataset.key ?? document.activeElement.id"

_ROWS = """entries => entries.map((entry) => {
    const part = (name) => entry.querySelector(name)?.textContent ?? "";
    return part(".method") ? `${part(".method")} ${part(".status")}` : part(".who");
})"""


def serious(results: AxeResults) -> list[str]:
    """Name what axe finds to be serious or worse, with the elements."""
    return [
        f"{found['id']}: {[node['html'][:120] for node in found['nodes']]}"
        for found in results.response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
