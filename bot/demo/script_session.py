"""What the script prints, and what its people do: the base of each play on the terminal."""

import math
import re
import textwrap
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bot.demo.controller import Controller, state_of
from bot.demo.scenarios import OPS
from bot.sandbox.atlas.jobs import RestoreJob

Json = dict[str, Any]

REQUESTER = "rina"

#: Seconds until a step fails; the bot reports a lasting fault of Atlas within 30.
STEP_TIMEOUT = 45.0

#: Seconds after which a fault that keeps the dialog from showing the job is cleared: the bot stops
#: trying before.
FAULT_TIMEOUT = 25.0

#: States of a message whose download is not decided yet.
UNDECIDED = {"announced", "auto_cancel", "awaiting", "approved", "cancelling"}

#: What the reply about an end says.
ENDED = re.compile("cancelled, |has ended|too late", re.IGNORECASE)

#: Columns of a line that is quoted.
WIDTH = 90

#: Signs of Slack's markup that a terminal does not need.
MARKUP = re.compile(r":[a-z_]+: ?|[*`]|^>", re.MULTILINE)


class ScriptFailed(Exception):
    """A step did not have its expected result."""


class Output(Protocol):
    """Where the script writes."""

    def write(self, text: str, /) -> object:
        """Write the text."""


class ScriptSession:
    """Acts as the people of the controller's scenario, and prints what they see.

    Args:
        pauses: seconds for which people pause on the printed clock alone.
    """

    def __init__(self, controller: Controller, out: Output, *, pauses: float) -> None:
        if controller.job is None:
            raise ScriptFailed("The script stopped: there is no restore job to cancel.")
        self.controller = controller
        self.slack = controller.slack
        self.job: RestoreJob = controller.job
        self._out = out
        self._began = time.time()
        self._pauses = pauses
        self._skipped = 0.0

    def skip_to(self, seconds: float) -> None:
        """Let the printed clock show so many seconds at least, without waiting for them."""
        if self._pauses:
            self._skipped = max(self._skipped, seconds - (time.time() - self._began))

    def _clock(self) -> float:
        return time.time() - self._began + self._skipped

    def time_left(self) -> str:
        """Return the minutes and seconds until the link."""
        link_after = self.controller.link_after + self._pauses
        return _minutes(math.ceil(link_after - self._clock()))

    async def wait_for_announcement(self) -> Json:
        """Return the bot's message about the download when it names who started it, if it can."""
        announcement: Json = await self.wait_for(self._announcement, "an announcement in #ops")
        return announcement

    def _announcement(self) -> Json | None:
        active = self.controller.atlas.faults.active
        is_refused = any("/events" in item.fault.path for item in active)
        words = self.job.id if is_refused else "example"  # in the name of each starter
        return next((each for each in self._posts() if words in str(each)), None)

    def _posts(self) -> list[Json]:
        """Return the messages about the job in #ops, without replies."""
        messages = self.slack.state.messages(OPS)
        about = (each for each in messages if self.job.id in str(each))
        return [each for each in about if each.get("thread_ts", each["ts"]) == each["ts"]]

    async def open_dialog(self) -> None:
        """Open the dialog with the message's button; a fault of Atlas ends after a while."""
        self.print_step("Rina clicks “Cancel this download”: the dialog reads the job from Atlas")
        await self.slack.people.clicks(REQUESTER, self.message(), "cancel_restore_open")
        try:
            await self.slack.until(self._settled_dialog, FAULT_TIMEOUT)
        except TimeoutError:
            self.print_step("The dialog still waits for Atlas")
        view = self.slack.state.view_of(REQUESTER) or {}
        self.quote(view, 3)
        if not view.get("submit"):
            await self._end_the_fault()

    async def _end_the_fault(self) -> None:
        self.print_step("The fault ends, and Rina clicks again")
        await self.controller.clear_faults()
        view = self.slack.state.view_of(REQUESTER)
        if view:
            await self.slack.people.closes(REQUESTER, view)
        await self.slack.people.clicks(REQUESTER, self.message(), "cancel_restore_open")
        self.quote(await self.wait_for(self._complete_dialog, "a dialog with the job"), 3)

    def _complete_dialog(self) -> Json | None:
        view = self.slack.state.view_of(REQUESTER)
        return view if view and view.get("submit") else None

    def _settled_dialog(self) -> Json | None:
        view = self.slack.state.view_of(REQUESTER)
        return view if view and "Looking up" not in self._text(view) else None

    async def submit(self, values: Mapping[str, object]) -> None:
        """Submit the open dialog, and wait until the message shows it."""
        await self.slack.people.submits(REQUESTER, None, values)
        await self.wait_for(
            lambda: self.state() not in {"announced", "auto_cancel"}, "the request on the message"
        )

    def message(self) -> Json:
        """Return the message of the download."""
        return self._posts()[0]

    def state(self) -> str:
        """Return the state of the download's message, or empty."""
        return next(filter(None, map(state_of, self._posts())), "")

    async def wait_for_message(self, words: str) -> None:
        """Wait until the message has these words."""
        await self.wait_for(
            lambda: words in self._text(self.message()), f"a message with “{words}”"
        )

    async def wait_for_delete(self) -> None:
        """Wait until the message shows that the download is being cancelled."""
        await self.wait_for(lambda: self.state() == "cancelling", "a message that is cancelling")

    async def approve(self, name: str) -> None:
        """Click “Approve cancelling”, and wait until the message shows it."""
        await self.slack.people.clicks(name, self.message(), "cancel_restore_approve")
        await self.wait_for(
            lambda: self.state() != "awaiting" or f"@{name.title()}" in self._text(self.message()),
            "the approval on the message",
        )

    async def wait_for_reply(self, words: str) -> Json:
        """Return the first reply that has the words."""

        def found() -> Json | None:
            replies = self.slack.state.replies(self.message())
            return next((reply for reply in replies if words in self._text(reply)), None)

        reply: Json = await self.wait_for(found, f"a reply with “{words}”")
        return reply

    async def wait_for_outcome(self) -> Json:
        """Wait until the message and its thread have the outcome, and return that reply."""
        reply: Json = await self.wait_for(self._outcome, "the outcome")
        return reply

    def _outcome(self) -> Json | None:
        state = self.state()
        if not state or state in UNDECIDED:
            return None
        replies = self.slack.state.replies(self.message())
        return next((reply for reply in replies if ENDED.search(self._text(reply))), None)

    async def wait_for(self, condition: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - its value
        """Wait until the condition is true, and return its value.

        Raises:
            ScriptFailed: it was not within `STEP_TIMEOUT`.
        """
        try:
            return await self.slack.until(condition, seconds=STEP_TIMEOUT)
        except TimeoutError:
            raise ScriptFailed(
                f"The script stopped: {what} did not appear within {STEP_TIMEOUT:.0f} seconds."
            ) from None

    def _text(self, payload: Json) -> str:
        return self.slack.state.text_of(payload)

    def print_step(self, text: str) -> None:
        self._out.write(f"  {_minutes(self._clock())}  {text}\n")

    def quote(self, payload: Json, most: int) -> None:
        """Print so many lines of a message or a view at most, and the buttons after them."""
        lines = [*filter(None, MARKUP.sub("", self._text(payload)).splitlines())]
        for line in lines[:most] + [line for line in lines[most:] if line.startswith("[")]:
            for part in textwrap.wrap(line, WIDTH):
                self._out.write(f"        │ {part}\n")

    def print_calls(self) -> None:
        """Print the calls to Atlas about the job, save challenges that no fault caused.

        Where the time is the README's, only those of the run, which begins before its DELETE.
        """
        calls = (call for call in self.controller.atlas.calls if self.job.id in call.path)
        told = [
            f"{call.method} {call.status or 'cut'}"
            for call in calls
            if call.faults or not call.challenge
        ]
        if self._pauses:
            first = next((at for at, call in enumerate(told) if call.startswith("DELETE")), 1)
            told = told[first - 1 :]
            self.print_step("The bot reads the job again, sends one DELETE, and reads it once more")
        else:
            self.print_step("The calls to Atlas about the job so far")
        self._out.write(f"        │ {', '.join(told)}\n")

    def print_result(self) -> None:
        deletes = len(self.controller.atlas.deletes(self.job.id))
        self._out.write(f"\n  In Atlas the job is {self.job.state}; DELETEs sent: {deletes}.\n")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
