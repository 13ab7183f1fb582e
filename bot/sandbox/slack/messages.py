"""Messages of channels with their earlier versions, and ephemeral messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.slack.id_generator import IdGenerator

Json = dict[str, Any]


@dataclass(kw_only=True)
class Message:
    """A message of a channel; ephemeral when `only_for` names a person.

    Each change replaces `content`, so that earlier versions and snapshots keep theirs.
    """

    channel: str
    content: Json
    edits: list[Json] = field(default_factory=list)
    only_for: str | None = None

    @property
    def ts(self) -> str:
        return str(self.content["ts"])

    def snapshot(self) -> Json:
        """Return the current message with its `channel` and its earlier versions (`edits`).

        It shares its blocks with the message: change none of them.
        """
        seen = {**self.content, "channel": self.channel, "edits": [*self.edits]}
        if self.only_for:
            seen |= {"is_ephemeral": True, "only_for": self.only_for}
        return seen


class Messages:
    """All messages by channel and ts."""

    def __init__(self, ids: IdGenerator) -> None:
        self._ids = ids
        self._by_place: dict[tuple[str, str], Message] = {}
        self._by_client_id: dict[str, Message] = {}

    def post(self, channel: str, content: Json, *, client_msg_id: str = "") -> Message:
        message = self._add(channel, content)
        if client_msg_id:
            message.content["client_msg_id"] = client_msg_id
            self._by_client_id.setdefault(client_msg_id, message)
        if thread := self.find(channel, str(content.get("thread_ts", ""))):
            count = thread.content.get("reply_count", 0) + 1
            thread.content = {**thread.content, "thread_ts": thread.ts, "reply_count": count}
        return message

    def post_ephemeral(self, channel: str, user: str, content: Json) -> Message:
        """Post a message that only `user` sees."""
        return self._add(channel, content, only_for=user)

    def _add(self, channel: str, content: Json, only_for: str | None = None) -> Message:
        stamped = {"type": "message", **content, "ts": self._ids.ts()}
        message = Message(channel=channel, content=stamped, only_for=only_for)
        self._by_place[channel, message.ts] = message
        return message

    def edit(self, message: Message, changes: Json, by: str) -> None:
        message.edits.append(message.content)
        edited = {"user": by, "ts": self._ids.ts()}
        message.content = {**message.content, **changes, "edited": edited}

    def delete(self, channel: str, ts: str) -> None:
        """Delete a message, as people do."""
        del self._by_place[channel, ts]

    def find(self, channel: str, ts: str) -> Message | None:
        return self._by_place.get((channel, ts))

    def with_client_id(self, client_msg_id: str) -> Message | None:
        return self._by_client_id.get(client_msg_id)

    def public(self, channel: str) -> Iterator[Message]:
        """Yield the messages visible to all members, oldest first, including replies."""
        return (m for m in self._by_place.values() if m.channel == channel and not m.only_for)

    def private(self, user: str) -> Iterator[Message]:
        return (m for m in self._by_place.values() if m.only_for == user)
