"""The tape of the wire pane: what people did and each call that followed, in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.event_bus import ChangeEvent, EventBus

Entry = dict[str, Any]

#: How many entries are kept for a page that is opened later.
LENGTH = 500

#: What people did, by the type of the payload that tells the bot.
DEEDS = {
    "slash_commands": "typed",
    "block_actions": "used",
    "view_submission": "submitted",
    "view_closed": "closed the dialog",
    "block_suggestion": "searched",
    "message_action": "used the shortcut",
    "event_callback": "opened the app",
}


class CallLog:
    """Numbers what happens, keeps the newest, and tells the page's news board of each."""

    def __init__(self, news: EventBus, clock: Callable[[], float]) -> None:
        self.entries: deque[Entry] = deque(maxlen=LENGTH)
        self._news = news
        self._clock = clock
        self._count = 0
        self._killed = float("-inf")

    def note(self, kind: str, **what: object) -> None:
        """Write one entry: `kind` is person, atlas, slack, bot or scene."""
        self._count += 1
        entry = {"n": self._count, "at": self._clock(), "kind": kind, **what}
        self.entries.append(entry)
        self._news.publish("wire", entry=entry)

    def killed(self, pid: int | None) -> None:
        """Write that the bot was killed; what it had asked for may still be answered later."""
        self.note("bot", what=f"killed (kill -9 {pid})")
        self._killed = self._clock()

    def atlas(self, call: Call) -> None:
        """Write a call to Atlas, when it is answered; it never holds credentials or links.

        `orphan` says that the process which sent it has been killed meanwhile.
        """
        self.note(
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
            orphan=self._clock() - call.seconds < self._killed,
        )

    def slack(self, item: ChangeEvent) -> None:
        """Write what people did, and the calls of Slack's Web API."""
        data = item.data
        if item.kind == "act":
            deed = DEEDS.get(str(data["type"]), str(data["type"]))
            self.note("person", user=data["user"], deed=deed, what=data["what"])
        elif item.kind == "call":
            self.note("slack", method=data["method"], ok=data["ok"], error=data["error"])
