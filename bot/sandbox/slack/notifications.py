"""The record of whom each post notified: those it mentions, if they are in the channel."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.slack.messages import Message
from bot.sandbox.slack.workspace import Workspace

_USER = re.compile(r"<@([UW][A-Z0-9]+)")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]+)")
_EVERYBODY = re.compile(r"<!(?:here|channel|everyone)")


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One post or reply, and the ids of the people whom it notified; an edit notifies nobody."""

    ts: str
    channel: str
    thread_ts: str | None
    is_broadcast: bool
    users: frozenset[str]
    text: str


@dataclass
class Notifications:
    """All posts of the app, oldest first."""

    workspace: Workspace
    all: list[Notification] = field(default_factory=list)

    def add(self, message: Message, also: set[str]) -> None:
        """Record a post."""
        content: dict[str, Any] = message.content
        self.all.append(
            Notification(
                ts=message.ts,
                channel=message.channel,
                thread_ts=content.get("thread_ts"),
                is_broadcast=content.get("subtype") == "thread_broadcast",
                users=frozenset(self._mentioned(content, message.channel) | also),
                text=str(content.get("text", "")),
            )
        )

    def _mentioned(self, content: dict[str, Any], channel: str) -> set[str]:
        shown = f"{content.get('text', '')} {json.dumps(content.get('blocks', []))}"
        members = self.workspace.channels[channel].members
        if _EVERYBODY.search(shown):
            return members
        users = set(_USER.findall(shown))
        for group in _GROUP.findall(shown):
            if found := self.workspace.groups.get(group):
                users |= set(found.users)
        return users & members
