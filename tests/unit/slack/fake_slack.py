"""Slack's Web API without a network: people, groups, channels, dialogs and messages."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.client import Identity
from bot.slack.errors import (
    CannotPost,
    DialogExpired,
    MessageGone,
    SlackError,
    SlackUnavailable,
    UnknownPerson,
)
from tests.support.core import PEOPLE
from tests.support.domain import TEAM
from tests.unit.slack.block_text import as_text

Json = dict[str, Any]
IDENTITY = Identity(team=TEAM, user="U0BOT")
MEMBER_OF, OTHER, ARCHIVED, DIRECT = "C0DEV", "C0LOBBY", "C0OLD", "D0RINA"
TRIGGER = "1.2"  #: of each command and click


class FakeSlack(AsyncWebClient):
    """A workspace that follows a script.

    Attributes:
        views: the dialogs by their ids, as they are now.
        messages: what the channels show, by channel and time; replies have a `thread_ts`.
        private: what single people were told, as the method, the channel and the text.
        calls: the methods and arguments of all calls.
        failures: the errors of the next calls, by method; None for an answer.
        failing_channels: the errors of all posts and edits, by channel.
        outage: the error of every call while it is set.
        gates: what the calls of a method wait for.
        lost: the numbers of the calls whose answers are lost after they took effect.
    """

    def __init__(self) -> None:
        super().__init__(token="xoxb-1")
        self.accounts: dict[str, Json] = {
            item.id: {"id": item.id, "team_id": TEAM, "profile": {}} for item in PEOPLE
        }
        self.groups: dict[str, list[str]] = {}
        self.channels: dict[str, Json] = {
            MEMBER_OF: {"is_member": True},
            OTHER: {"is_member": False},
            ARCHIVED: {"is_member": True, "is_archived": True},
            DIRECT: {"is_im": True},
        }
        self.views: dict[str, Json] = {}
        self.messages: dict[tuple[str, str], Json] = {}
        self.private: list[tuple[str, str, str]] = []
        self.calls: list[tuple[str, Json]] = []
        self.failures: defaultdict[str, list[SlackError | None]] = defaultdict(list)
        self.failing_channels: dict[str, SlackError] = {}
        self.outage: SlackError | None = None
        self.gates: dict[str, asyncio.Event] = {}
        self.lost: frozenset[int] = frozenset()
        self._methods: dict[str, Callable[[Json], Json]] = {
            "users.info": lambda given: {"user": _known(self.accounts, given["user"])},
            "usergroups.users.list": lambda given: {
                "users": _known(self.groups, given["usergroup"])
            },
            "conversations.info": self._channel,
            "views.open": self._open,
            "views.update": lambda given: self._show(given["view_id"], given["view"]),
            "chat.postEphemeral": self._whisper,
            "chat.postMessage": self._post,
            "chat.update": self._edit,
            "chat.getPermalink": lambda given: {
                "permalink": f"https://slack.example/{given['channel']}"
            },
        }

    async def api_call(self, api_method: str, **kwargs: Any) -> AsyncSlackResponse:
        given: Json = kwargs.get("json") or kwargs.get("params") or {}
        self.calls.append((api_method, given))
        number = len(self.calls)
        await asyncio.sleep(0)  # an answer takes a moment, in which other calls begin
        if gate := self.gates.get(api_method):
            await gate.wait()
        failures = self.failures[api_method]
        if error := (failures.pop(0) if failures else self.outage):
            raise error
        answer = self._methods[api_method](given)
        if number in self.lost:
            raise SlackUnavailable
        return AsyncSlackResponse(
            client=self,
            http_verb="POST",
            api_url=api_method,
            req_args={},
            data={"ok": True, **answer},
            headers={},
            status_code=200,
        )

    def _channel(self, given: Json) -> Json:
        if given["channel"] not in self.channels:
            raise CannotPost("channel_not_found")
        return {"channel": self.channels[given["channel"]]}

    def _whisper(self, given: Json) -> Json:
        self.private.append(("chat.postEphemeral", given["channel"], as_text(given)))
        return {}

    def _open(self, given: Json) -> Json:
        if given.get("trigger_id") != TRIGGER:
            raise DialogExpired("invalid_trigger_id")
        return self._show(f"V{len(self.views) + 1}", given["view"])

    def _show(self, view_id: str, view: Json) -> Json:
        self.views[view_id] = {**view, "id": view_id}
        return {"view": self.views[view_id]}

    def _post(self, given: Json) -> Json:
        self._check(given["channel"])
        channel = given["channel"].replace("U", "D")  # a direct message has its own channel
        thread, key = given.get("thread_ts"), given.get("client_msg_id")
        if thread and (channel, thread) not in self.messages:
            raise MessageGone("thread_not_found")
        for place, message in self.messages.items():
            if key and message.get("client_msg_id") == key:
                return {"channel": place[0], "ts": place[1]}
        if given["channel"].startswith("U"):
            self.private.append(("chat.postMessage", given["channel"], as_text(given)))
        ts = f"{len(self.messages) + 1}.0"
        self.messages[channel, ts] = given
        return {"channel": channel, "ts": ts}

    def _edit(self, given: Json) -> Json:
        self._check(given["channel"])
        place = given["channel"], given["ts"]
        if place not in self.messages:
            raise MessageGone("message_not_found")
        self.messages[place] = {**self.messages[place], **given}
        return {"channel": place[0], "ts": place[1]}

    def _check(self, channel: str) -> None:
        if error := self.failing_channels.get(channel):
            raise error

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


def _known(entries: dict[str, Any], key: str) -> Any:
    if key not in entries:
        raise UnknownPerson("user_not_found" if key.startswith("U") else "no_such_subteam")
    return entries[key]
