"""What the script prints, and what its people do: the base of each scenario on the terminal."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from bot.demo.environment import CHANNEL, Environment, are_announced
from bot.sandbox.atlas import PROJECT_ID, Call
from bot.sandbox.slack import text_of

Json = dict[str, Any]

REQUESTER = "rina"
CLUSTER = "prod-eu"

#: Seconds until a step fails; the bot reports a lasting fault of Atlas within 30.
STEP_TIMEOUT = 35.0

#: Seconds until the bot must have read the project, and between two checks.
PROJECT_TIMEOUT, POLL_INTERVAL = 5.0, 0.02

#: States of an unfinished request, in a message's metadata.
OPEN_STATES = {"awaiting", "approved", "cancelling", "quarantined"}


class ScriptFailed(Exception):
    """A step did not have its expected result."""


class Output(Protocol):
    """Where the script writes."""

    def write(self, text: str, /) -> object:
        """Write the text."""


class ScriptSession:
    """Acts as the people, and prints what they see.

    Args:
        calls: what the path of a call to Atlas contains that is printed.
    """

    def __init__(self, environment: Environment, out: Output, calls: str = "") -> None:
        self.slack = environment.slack
        self.atlas = environment.atlas
        self._out = out
        self._calls = calls
        self._started_at = time.monotonic()
        environment.atlas.recorder.subscribe(self._print_call)

    async def wait_for_project_name(self) -> None:
        """Wait until the bot has read the name, so that people see it in place of the id."""
        for _ in range(round(PROJECT_TIMEOUT / POLL_INTERVAL)):
            if any(call.status == HTTPStatus.OK for call in self.atlas.calls):
                return
            await asyncio.sleep(POLL_INTERVAL)
        raise ScriptFailed("The script stopped: the bot did not read the project from Atlas.")

    def start_download(self, cluster: str = CLUSTER) -> str:
        """Start a download in Atlas, and return its job's id."""
        return self.atlas.world.add_job(self.atlas.world.projects[PROJECT_ID].clusters[cluster]).id

    async def wait_for_watch(self) -> None:
        """Wait until the watch has read all clusters, so that later downloads are new ones."""
        await self.wait_for(
            lambda: are_announced(self.slack, self.atlas), "the announcement of each download"
        )

    async def open_dialog(self, job: str, cluster: str = CLUSTER) -> Json:
        """Type the command for a job, and return the dialog that shows it."""
        await self.type_command(job, cluster)
        return await self.wait_for_dialog()

    async def type_command(self, job: str, cluster: str = CLUSTER) -> None:
        """Type the command for a job."""
        line = f"/cancel-restore {cluster} {job}"
        self.print_message(REQUESTER, line)
        await self.slack.people.types(REQUESTER, CHANNEL, line)

    async def wait_for_dialog(self) -> Json:
        """Return the dialog when it shows the job."""
        what = "a dialog with the job's details"
        view: Json = await self.wait_for(self._complete_dialog, what)
        return view

    def _complete_dialog(self) -> Json | None:
        view = self.slack.state.view_of(REQUESTER)
        return view if view and view.get("submit") else None

    async def request(self, job: str, reason: str) -> Json:
        """Request the cancellation of a job in its dialog, and return the card."""
        await self.open_dialog(job)
        return await self.submit({"reason": reason})

    async def submit(self, values: Mapping[str, object]) -> Json:
        """Submit the open dialog, and return the card."""
        await self.slack.people.submits(REQUESTER, None, values)
        card: Json = await self.wait_for(self._card, "a card in #ops")
        return card

    def find_card(self, job: str = "") -> Json:
        """Return the first card in the channel, or that of `job`."""
        card = self._card(job)
        if card is None:
            raise ScriptFailed("The script stopped: the card is not in #ops.")
        return card

    def _card(self, job: str = "") -> Json | None:
        messages = self.slack.state.messages(CHANNEL)
        cards = (each for each in messages if state_of(each) and not _is_reply(each))
        return next((card for card in cards if job in str(card)), None)

    async def wait_for_card(self, job: str, words: str = "") -> Json:
        """Return the card of a job when it is in the channel and has the words."""

        def found() -> Json | None:
            card = self._card(job)
            return card if card and words in self.text(card) else None

        card: Json = await self.wait_for(found, "a card in #ops")
        return card

    async def wait_for_direct_message(self, name: str, words: str) -> Json:
        """Return the bot's message to one person that contains the words."""
        place = self.slack.state.dm(name)

        def found() -> Json | None:
            messages = self.slack.state.messages(place)
            return next((each for each in messages if words in self.text(each)), None)

        message: Json = await self.wait_for(found, f"a direct message to {name.title()}")
        return message

    async def wait_for_reply(self, card: Json, words: str, number: int = 1) -> None:
        """Wait for the reply, or the one with this number, that has the words; print it."""

        def found() -> Json | None:
            replies = self.slack.state.replies(card)
            fitting = [each for each in replies if words in self.text(each)]
            return fitting[number - 1] if len(fitting) >= number else None

        self.print_blocks("thread", await self.wait_for(found, f"a reply with “{words}”"))

    async def wait_for_outcome(self, job: str = "") -> Json:
        """Wait until the card and its thread have the outcome, and return that reply."""
        reply: Json = await self.wait_for(lambda: self._outcome(job), "the outcome")
        return reply

    def _outcome(self, job: str) -> Json | None:
        card = self._card(job)
        if card is None or (state := state_of(card)) in OPEN_STATES:
            return None
        replies = self.slack.state.replies(card)
        return next((reply for reply in replies if state_of(reply) == state), None)

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

    def text(self, payload: Json) -> str:
        """Return what a person reads in a message or a view."""
        space = self.slack.workspace
        names = {user.id: user.name for user in space.users.values()}
        names |= {group.id: group.handle for group in space.groups.values()}
        return text_of(payload, names)

    def print_title(self, title: str, *lines: str) -> None:
        self._out.write(f"\n━━ {title}\n")
        for line in lines:
            self._out.write(f"   {line}\n")

    def print_step(self, title: str) -> None:
        self._out.write(f"\n── {title}\n")

    def print_message(self, name: str, text: str) -> None:
        self._out.write(f"  {name.title()}: {text}\n")

    def print_blocks(self, label: str, payload: Json, most: int | None = None) -> None:
        """Print a message or a view, or so many lines of it at most."""
        self._print_lines(label, self.text(payload).splitlines()[:most])

    def print_part(self, label: str, payload: Json, words: str) -> None:
        """Print the lines of a message or a view that contain the words."""
        self._print_lines(
            label, [line for line in self.text(payload).splitlines() if words in line]
        )

    def _print_lines(self, label: str, lines: Sequence[str]) -> None:
        for line in lines:
            self._out.write(f"  {label:>6} │ {line}\n")
        self._out.write("\n")

    def print_result(self, job: str) -> None:
        deletes = len(self.atlas.deletes(job))
        state = self.atlas.world.job(job).state
        self._out.write(f"\nIn Atlas the job is {state}; DELETEs sent: {deletes}.\n")

    def _print_call(self, call: Call) -> None:
        if self._calls not in call.path:
            return
        auth = "challenge" if call.challenge else str(call.authorization)
        auth += ", nonce reused" if call.nonce_reused else ""
        status = call.status or "cut"
        seconds = time.monotonic() - self._started_at
        path = call.path.split("?")[0].removeprefix("/api/atlas")
        self._out.write(f"  {seconds:5.2f} s  {call.method:<6} {path} → {status} ({auth})\n")


def state_of(message: Json) -> str:
    """Return the state in a message's metadata, or empty."""
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("state") or "")


def _is_reply(message: Json) -> bool:
    return bool(message.get("thread_ts", message["ts"]) != message["ts"])
