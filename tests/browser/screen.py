"""One person's browser tab: actions, waits, and collected errors."""

import re
from collections.abc import Awaitable
from dataclasses import dataclass, field

from axe_playwright_python.base import AxeResults
from playwright.async_api import ConsoleMessage, Error, Locator, Page, Request, Response, expect

from bot.demo.controller import Controller

#: Milliseconds; the bot reports a lasting fault within 30 seconds.
TIMEOUT = 20_000
LONG_TIMEOUT = 40_000

APP = "Cancel restore"

CONFIRMED = "Cancelled: Atlas confirms it"
#: The submit button of a job's dialog, without and with approvals.
SUBMIT = re.compile("^(Cancel the job|Ask for approval)$")


@dataclass  # without slots: Playwright adds attributes
class Screen:
    """A tab."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Collect console errors, failed requests and requests to other hosts."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("requestfailed", self._on_request_failed)
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"console: {message.text}")

    def _on_error(self, error: Error) -> None:
        self.errors.append(f"error: {error}")

    def _on_request_failed(self, request: Request) -> None:
        is_ended_by_leaving = request.url.endswith(("/_sandbox/events", "/page/icon.svg"))
        if is_ended_by_leaving and request.failure == "net::ERR_ABORTED":
            return  # the stream of events, and the icon that no test waits for
        self.errors.append(f"failed: {request.url} {request.failure}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(self.base):
            self.errors.append(f"outside: {request.url}")

    def _on_response(self, response: Response) -> None:
        if not response.ok:
            self.errors.append(f"{response.status}: {response.url}")

    async def open(self, query: str = "") -> None:
        await self.page.goto(f"{self.base}/{query}")
        await self.wait_for("body.ready")

    def find(self, selector: str, text: str | re.Pattern[str] | None = None) -> Locator:
        return self.page.locator(selector, has_text=text)

    async def wait_for(
        self, selector: str, text: str | re.Pattern[str] | None = None, within: int = TIMEOUT
    ) -> None:
        await self._expect(expect(self.find(selector, text).last).to_be_visible(timeout=within))

    async def wait_until_gone(
        self, selector: str, text: str | None = None, within: int = TIMEOUT
    ) -> None:
        await self._expect(expect(self.find(selector, text)).to_have_count(0, timeout=within))

    async def _expect(self, expectation: Awaitable[None]) -> None:
        """Await an expectation; where it fails, the error shows the whole page's text."""
        try:
            await expectation
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.page.inner_text('body')}") from None

    async def click(self, selector: str, text: str | re.Pattern[str] | None = None) -> None:
        await self.find(selector, text).last.click(timeout=TIMEOUT)

    async def start_scenario(self, scenario: str) -> None:
        """Select a scenario in the menu, and wait until it is set up."""
        button = self.find(f"[data-scenario='{scenario}']")
        if not await button.is_visible():
            await self.click("summary", "More")
        await button.click()
        current = self.find(f"[data-scenario='{scenario}'][aria-current]")
        await expect(current).to_have_count(1, timeout=LONG_TIMEOUT)
        await self.wait_until_gone("[aria-busy]", within=LONG_TIMEOUT)

    async def send(self, line: str) -> None:
        await self.page.fill("#composer", line)
        await self.page.press("#composer", "Enter")

    async def open_dialog(self) -> None:
        """Press the button of the announcement."""
        job = await self.page.evaluate(_JOB)
        announcement = self.find("#channel .message", job).first
        await announcement.locator("[data-action=cancel_restore_open]").click(timeout=TIMEOUT)

    async def go(self, place: str) -> None:
        """Open a channel, or the app's messages."""
        await self.click(".place", place)
        if place == APP:
            await self.click(".tabs button", "Messages")

    async def submit_request(self) -> None:
        """Open the dialog of the scenario's job, fill in a reason, and submit."""
        await self.open_dialog()
        await self.fill_in()

    async def fill_in(self) -> None:
        """Fill in a reason in the open dialog, and submit."""
        await self.wait_for("#modal button", SUBMIT, LONG_TIMEOUT)
        await self.page.fill("#modal textarea", "started by mistake")
        await self.click("#modal button", SUBMIT)
        await self.wait_until_gone("#modal[open]")

    async def approve(self) -> None:
        await self.click("[data-action=cancel_restore_approve]")
        await self.wait_for("#confirm[open]", "Cancel this download?")
        await self.click("#confirm button", "Approve")

    async def wait_for_card(self, words: str, job: str = "") -> None:
        """Wait until the newest message about `job`, else the scenario's job, contains `words`."""
        job = job or await self.page.evaluate(_JOB)
        card = self.find("#channel .message:not(.private)", job).last
        await self._expect(expect(card).to_contain_text(words, timeout=LONG_TIMEOUT))

    async def calls(self) -> list[str]:
        """Return the call log since the scenario began: `GET 200`, `DELETE cut`, or an action."""
        rows = await self.page.eval_on_selector_all("#calls .entry", _ROWS)
        starts = [at for at, row in enumerate(rows) if row.startswith("Scenario:")]
        return list(rows[starts[-1] + 1 :]) if starts else list(rows)

    async def focused_key(self) -> str:
        """Return the data-key or id of the focused element."""
        return str(await self.page.evaluate(_FOCUS))


_JOB = "import('/page/store.js').then((store) => store.state.demo.command.split(' ').at(-1))"

_FOCUS = "document.activeElement.dataset.key ?? document.activeElement.id"

_ROWS = """entries => entries.map((entry) => {
    const part = (name) => entry.querySelector(name)?.textContent ?? "";
    return part(".method") ? `${part(".method")} ${part(".status")}` : part(".who");
})"""


def live_job(controller: Controller, cluster: str) -> str:
    """Return the id of a job of a cluster whose link is live."""
    jobs = controller.state()["jobs"]
    return next(
        str(job["id"]) for job in jobs if (job["cluster"], job["state"]) == (cluster, "live")
    )


def serious(results: AxeResults) -> list[str]:
    """Return the serious and critical violations that axe found, with their elements."""
    return [
        f"{found['id']}: {[node['html'][:120] for node in found['nodes']]}"
        for found in results.response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
