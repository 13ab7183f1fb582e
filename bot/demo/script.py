"""One cancellation, played as people would, with what they see and what goes over the wire."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TextIO

from bot.demo.environment import open_environment
from bot.sandbox.slack import text_of

if TYPE_CHECKING:
    from bot.demo.environment import Environment
    from bot.sandbox.atlas import Call

REQUESTER = "rina"
APPROVERS = ("ada", "abe")
CHANNEL = "ops"
CLUSTER = "prod-eu"
REASON = "started on the wrong cluster"

#: Seconds in which each step must be seen: a lasting fault of Atlas is told within 30.
PATIENCE = 35.0

#: How often, and how many seconds apart, it is looked whether the bot has asked for the project.
LOOKS = 250
PAUSE = 0.02

#: How the states that end a request are called in a message's metadata.
OPEN = {"awaiting", "approved", "cancelling"}


class ScriptFailed(Exception):
    """What should have been seen was not."""


async def play_script(out: TextIO, *, approvals: int = 0, fault: str = "") -> None:
    """Play one cancellation and print it.

    Raises:
        ScriptFailed: a step that should have been seen was not.
    """
    async with open_environment(approvals=approvals) as house:
        await Script(house, out).play(fault)


class Script:
    """The people of the play, and a printer for what they see."""

    def __init__(self, house: Environment, out: TextIO) -> None:
        self._house = house
        self._slack = house.slack
        self._out = out
        self._began = time.monotonic()
        house.atlas.recorder.subscribe(self._wire)

    async def play(self, fault: str) -> None:
        """Play it from the command to the outcome."""
        cluster, job = self._a_download()
        self._scene("The bot starts, and asks Atlas for the project's name")
        await self._introduced()
        self._scene("Rina types a command in #ops")
        line = f"/cancel-restore {cluster} {job}"
        self._say("Rina", line)
        await self._slack.people.types(REQUESTER, CHANNEL, line)
        await self._dialog_with_submit()
        if fault:
            self._house.atlas.faults.preset(fault)
        self._scene("Rina clicks “Cancel the job”")
        await self._slack.people.submits(REQUESTER, None, {"reason": REASON})
        await self._until(lambda: bool(self._cards()), "a card in #ops")
        await self._approve()
        await self._until(self._ended, "the outcome")
        self._scene("The outcome, in #ops")
        self._show("card", self._cards()[0])
        for reply in self._slack.state.replies(self._cards()[0]):
            self._show("thread", reply)
        self._close(job)

    async def _introduced(self) -> None:
        """Wait until the bot was told the name, so that people read it in place of the id."""
        for _ in range(LOOKS):
            if any(call.status == HTTPStatus.OK for call in self._house.atlas.calls):
                return
            await asyncio.sleep(PAUSE)
        raise ScriptFailed("The play stops here: the bot did not ask Atlas for the project.")

    def _a_download(self) -> tuple[str, str]:
        """Pick the first download of the cluster that can be cancelled."""
        for cluster, job in self._house.atlas.world.jobs():
            if cluster.name == CLUSTER and job.delivery_type == "download":
                return cluster.name, job.id
        raise ScriptFailed("The example world has no download to cancel.")

    async def _dialog_with_submit(self) -> None:
        def ready() -> bool:
            view = self._slack.state.view_of(REQUESTER)
            return bool(view and view.get("submit"))

        await self._until(lambda: self._slack.state.view_of(REQUESTER) is not None, "a dialog")
        self._show("dialog", self._slack.state.view_of(REQUESTER))
        await self._until(ready, "a dialog with the job's details")
        self._show("dialog", self._slack.state.view_of(REQUESTER))

    async def _approve(self) -> None:
        for name in APPROVERS:
            card = self._cards()[0]
            if _state(card) != "awaiting":
                return
            self._scene(f"{name.title()} sees the card and clicks “Approve”")
            self._show("card", card)
            await self._slack.people.clicks(name, card, "cancel_restore_approve")
            # A reply changes the message too, but not what it shows.
            shown = card["blocks"]
            await self._until(lambda s=shown: self._cards()[0]["blocks"] != s, "the card's change")

    def _cards(self) -> list[dict[str, Any]]:
        """Return the messages of the bot in the channel that are no replies."""
        return [
            message
            for message in self._slack.state.messages(CHANNEL)
            if _state(message) and message.get("thread_ts", message["ts"]) == message["ts"]
        ]

    def _ended(self) -> bool:
        card = self._cards()[0]
        said = [_state(reply) for reply in self._slack.state.replies(card)]
        return _state(card) not in OPEN and _state(card) in said

    async def _until(self, seen: Any, what: str) -> None:  # noqa: ANN401 - a predicate
        try:
            await self._slack.until(seen, seconds=PATIENCE)
        except TimeoutError:
            raise ScriptFailed(f"The play stops here: {what} was not seen.") from None

    def _scene(self, title: str) -> None:
        self._out.write(f"\n── {title}\n")

    def _say(self, who: str, text: str) -> None:
        self._out.write(f"  {who}: {text}\n")

    def _show(self, what: str, thing: Any) -> None:  # noqa: ANN401 - a message or a view
        names = {user.id: user.name for user in self._slack.workspace.users.values()}
        for line in text_of(thing, names).splitlines():
            self._out.write(f"  {what:>6} │ {line}\n")
        self._out.write("\n")

    def _wire(self, call: Call) -> None:
        how = "challenge" if call.challenge else str(call.authorization)
        how += ", nonce reused" if call.nonce_reused else ""
        status = call.status or "cut"
        seconds = time.monotonic() - self._began
        path = call.path.split("?")[0].removeprefix("/api/atlas")
        self._out.write(f"  {seconds:5.2f} s  {call.method:<6} {path} → {status} ({how})\n")

    def _close(self, job: str) -> None:
        deletes = len(self._house.atlas.deletes(job))
        state = self._house.atlas.world.job(job).state
        self._out.write(f"\nAtlas says that the job is {state}; DELETEs sent: {deletes}.\n")


def _state(message: dict[str, Any]) -> str:
    """Read the state from a message's metadata; empty for messages of other kinds."""
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("state") or "")
