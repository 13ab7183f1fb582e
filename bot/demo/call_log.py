"""The log of the Calls pane: each action of a person and the calls that followed, in order."""

from collections import deque
from collections.abc import Callable
from typing import Any

from bot.sandbox.atlas import Call
from bot.sandbox.slack.event_bus import ChangeEvent, EventBus

Entry = dict[str, Any]

#: Entries that are kept for pages that are opened later.
MAX_ENTRIES = 500

#: The action of a person, by the type of the payload that is sent to the bot.
ACTIONS = {
    "slash_commands": "typed",
    "block_actions": "clicked",
    "view_submission": "submitted",
}


class CallLog:
    """Numbers the entries, keeps the newest, and publishes each to the open pages.

    The bot calls the fake Atlas at `atlas_of_bot`, and the command line elsewhere.
    """

    def __init__(self, events: EventBus, clock: Callable[[], float], atlas_of_bot: str) -> None:
        self.entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._events = events
        self._clock = clock
        self._atlas_of_bot = atlas_of_bot
        self._count = 0
        self._killed_at = float("-inf")

    def add(self, kind: str, **fields: object) -> None:
        """Add one entry; `kind` is person, atlas, slack, bot or scenario."""
        self._count += 1
        entry = {"n": self._count, "at": self._clock(), "kind": kind, **fields}
        self.entries.append(entry)
        self._events.publish("call_log", entry=entry)

    def add_kill(self, pid: int | None) -> None:
        """Add that the bot was killed; calls that it sent before may still be answered later."""
        self.add("bot", text=f"killed (kill -9 {pid})")
        self._killed_at = self._clock()

    def add_atlas_call(self, call: Call) -> None:
        """Add a call to Atlas when it is answered; it never contains credentials or links.

        `orphan`: the process that sent the call was killed before the answer.
        """
        self.add(
            "atlas",
            method=call.method,
            path=call.path.removeprefix("/api/atlas"),
            status=call.status,
            scheme=call.authorization,
            challenge=call.challenge,
            nonce_reused=call.nonce_reused,
            ms=round(call.seconds * 1000, 1),
            faults=list(call.faults),
            effect=call.effect,
            other=not self._atlas_of_bot.endswith(f"//{call.host}"),
            orphan=self._clock() - call.seconds < self._killed_at,
        )

    def add_slack_event(self, event: ChangeEvent) -> None:
        """Add actions of people and calls of Slack's Web API; ignore other events."""
        data = event.data
        if event.kind == "action":
            action = ACTIONS[str(data["type"])]
            self.add("person", user=data["user"], action=action, text=data["what"])
        elif event.kind == "call":
            self.add("slack", method=data["method"], ok=data["ok"], error=data["error"])
