"""Slack's methods that post and edit, without a network: they keep what a channel shows."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from bot.slack.errors import MessageGone, SlackError, SlackUnavailable

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The part of the SDK's answer that is read."""

    data: Json


@dataclass
class FakeChat:
    """A workspace; `failures` are the errors of the next calls of a method, None for success.

    `lost` has the numbers of the calls whose answers are lost after they took effect.
    """

    messages: dict[tuple[str, str], Json] = field(default_factory=dict)
    calls: list[tuple[str, Json]] = field(default_factory=list)
    failures: defaultdict[str, list[SlackError | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failing_channels: dict[str, SlackError] = field(default_factory=dict)
    lost: frozenset[int] = frozenset()
    gate: asyncio.Event | None = None

    async def api_call(self, method: str, *, json: Json) -> Answer:
        self.calls.append((method, json))
        number = len(self.calls)
        if self.gate:
            await self.gate.wait()
        failures = self.failures[method]
        if failures and (error := failures.pop(0)):
            raise error
        if error := self.failing_channels.get(json["channel"]):
            raise error
        answer = self._post(json) if method == "chat.postMessage" else self._edit(json)
        if number in self.lost:
            raise SlackUnavailable
        return Answer({"ok": True, **answer})

    def _post(self, given: Json) -> Json:
        channel = given["channel"].replace("U", "D")  # a direct message has its own channel
        thread = given.get("thread_ts")
        if thread and (channel, thread) not in self.messages:
            raise MessageGone("thread_not_found")
        for place, message in self.messages.items():
            if message["client_msg_id"] == given["client_msg_id"]:
                return {"channel": place[0], "ts": place[1]}
        ts = f"{len(self.messages) + 1}.0"
        self.messages[channel, ts] = given
        return {"channel": channel, "ts": ts}

    def _edit(self, given: Json) -> Json:
        place = given["channel"], given["ts"]
        if place not in self.messages:
            raise MessageGone("message_not_found")
        self.messages[place] = {**self.messages[place], **given}
        return {"channel": place[0], "ts": place[1]}

    @property
    def roots(self) -> list[Json]:
        """The messages that are no replies, oldest first."""
        return [item for item in self.messages.values() if "thread_ts" not in item]

    @property
    def replies(self) -> list[Json]:
        return [item for item in self.messages.values() if "thread_ts" in item]

    @property
    def states(self) -> list[str]:
        """The state in the metadata of each message."""
        return [item["metadata"]["event_payload"]["state"] for item in self.roots]

    def called(self, method: str) -> list[Json]:
        return [given for name, given in self.calls if name == method]
