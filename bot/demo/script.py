"""Runs one cancellation as text: what people do, what they see, and each call to Atlas."""

import asyncio
import time
from http import HTTPStatus
from typing import Any, TextIO

from bot.demo.environment import Environment, open_environment
from bot.sandbox.atlas import Call
from bot.sandbox.slack import text_of

REQUESTER = "rina"
APPROVERS = ("ada", "abe")
CHANNEL = "ops"
CLUSTER = "prod-eu"
REASON = "started on the wrong cluster"

#: Seconds until a step fails; the bot reports a lasting fault of Atlas within 30.
STEP_TIMEOUT = 35.0

#: Seconds until the bot must have read the project, and between two checks.
PROJECT_TIMEOUT, POLL_INTERVAL = 5.0, 0.02

#: States of an unfinished request, in a message's metadata.
OPEN_STATES = {"awaiting", "approved", "cancelling"}


class ScriptFailed(Exception):
    """A step did not have its expected result."""


async def play_script(out: TextIO, *, approvals: int = 0, fault: str = "") -> None:
    """Run one cancellation and print it.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    async with open_environment(approvals=approvals) as environment:
        await Script(environment, out).run(fault)


class Script:
    """Acts as the people, and prints what they see."""

    def __init__(self, environment: Environment, out: TextIO) -> None:
        self._environment = environment
        self._slack = environment.slack
        self._out = out
        self._started_at = time.monotonic()
        environment.atlas.recorder.subscribe(self._print_call)

    async def run(self, fault: str) -> None:
        """Run it from the command to the outcome."""
        cluster, job = self._find_download()
        self._print_step("The bot starts and reads the project's name from Atlas")
        await self._wait_for_project_name()
        self._print_step("Rina types a command in #ops")
        line = f"/cancel-restore {cluster} {job}"
        self._print_message("Rina", line)
        await self._slack.people.types(REQUESTER, CHANNEL, line)
        await self._wait_for_dialog()
        if fault:
            self._environment.atlas.faults.preset(fault)
        self._print_step("Rina clicks “Cancel the job”")
        await self._slack.people.submits(REQUESTER, None, {"reason": REASON})
        await self._wait_for(lambda: bool(self._cards()), "a card in #ops")
        await self._approve_while_awaiting()
        await self._wait_for(self._has_outcome, "the outcome")
        self._print_step("The outcome, in #ops")
        self._print_blocks("card", self._cards()[0])
        for reply in self._slack.state.replies(self._cards()[0]):
            self._print_blocks("thread", reply)
        self._print_result(job)

    async def _wait_for_project_name(self) -> None:
        """Wait until the bot has read the name, so that people see it in place of the id."""
        for _ in range(round(PROJECT_TIMEOUT / POLL_INTERVAL)):
            if any(call.status == HTTPStatus.OK for call in self._environment.atlas.calls):
                return
            await asyncio.sleep(POLL_INTERVAL)
        raise ScriptFailed("The script stopped: the bot did not read the project from Atlas.")

    def _find_download(self) -> tuple[str, str]:
        """Return the cluster and id of its first download job."""
        for cluster, job in self._environment.atlas.world.jobs():
            if cluster.name == CLUSTER and job.delivery_type == "download":
                return cluster.name, job.id
        raise ScriptFailed("The example world has no download to cancel.")

    async def _wait_for_dialog(self) -> None:
        def ready() -> bool:
            view = self._slack.state.view_of(REQUESTER)
            return bool(view and view.get("submit"))

        await self._wait_for(lambda: self._slack.state.view_of(REQUESTER) is not None, "a dialog")
        self._print_blocks("dialog", self._slack.state.view_of(REQUESTER))
        await self._wait_for(ready, "a dialog with the job's details")
        self._print_blocks("dialog", self._slack.state.view_of(REQUESTER))

    async def _approve_while_awaiting(self) -> None:
        for name in APPROVERS:
            card = self._cards()[0]
            if _state(card) != "awaiting":
                return
            self._print_step(f"{name.title()} sees the card and clicks “Approve”")
            self._print_blocks("card", card)
            await self._slack.people.clicks(name, card, "cancel_restore_approve")
            # A reply changes the message too, but not its blocks.
            shown = card["blocks"]
            await self._wait_for(
                lambda s=shown: self._cards()[0]["blocks"] != s, "the change of the card"
            )

    def _cards(self) -> list[dict[str, Any]]:
        """Return the cards in the channel, without the replies in their threads."""
        return [
            message
            for message in self._slack.state.messages(CHANNEL)
            if _state(message) and message.get("thread_ts", message["ts"]) == message["ts"]
        ]

    def _has_outcome(self) -> bool:
        card = self._cards()[0]
        states = [_state(reply) for reply in self._slack.state.replies(card)]
        return _state(card) not in OPEN_STATES and _state(card) in states

    async def _wait_for(self, condition: Any, what: str) -> None:  # noqa: ANN401 - a predicate
        try:
            await self._slack.until(condition, seconds=STEP_TIMEOUT)
        except TimeoutError:
            raise ScriptFailed(
                f"The script stopped: {what} did not appear within {STEP_TIMEOUT:.0f} seconds."
            ) from None

    def _print_step(self, title: str) -> None:
        self._out.write(f"\n── {title}\n")

    def _print_message(self, name: str, text: str) -> None:
        self._out.write(f"  {name}: {text}\n")

    def _print_blocks(self, label: str, payload: Any) -> None:  # noqa: ANN401 - a message or a view
        names = {user.id: user.name for user in self._slack.workspace.users.values()}
        for line in text_of(payload, names).splitlines():
            self._out.write(f"  {label:>6} │ {line}\n")
        self._out.write("\n")

    def _print_call(self, call: Call) -> None:
        auth = "challenge" if call.challenge else str(call.authorization)
        auth += ", nonce reused" if call.nonce_reused else ""
        status = call.status or "cut"
        seconds = time.monotonic() - self._started_at
        path = call.path.split("?")[0].removeprefix("/api/atlas")
        self._out.write(f"  {seconds:5.2f} s  {call.method:<6} {path} → {status} ({auth})\n")

    def _print_result(self, job: str) -> None:
        deletes = len(self._environment.atlas.deletes(job))
        state = self._environment.atlas.world.job(job).state
        self._out.write(f"\nIn Atlas the job is {state}; DELETEs sent: {deletes}.\n")


def _state(message: dict[str, Any]) -> str:
    """Return the state in a message's metadata, or empty."""
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("state") or "")
