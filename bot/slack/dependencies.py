"""The collaborators that the listeners of all features share, and what they read of a payload."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from slack_sdk.web.async_client import AsyncWebClient

from bot.services.service import CancellationService
from bot.slack.client import Identity, Links
from bot.slack.directory import Directory
from bot.slack.errors import internal_error_text
from bot.slack.payloads import Actor, actor_of
from bot.slack.placement import Channels
from bot.slack.private_reply import PrivateReply, ReplyTarget, reply_target_of
from bot.tasks import BackgroundTasks, run_until_deadline

T = TypeVar("T")

#: Seconds that an ack may wait for the database. Slack allows 3, of which the network needs some.
ACK_TIMEOUT = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """What a person did; `trigger_id` opens one dialog, and is empty where the payload has none."""

    actor: Actor
    reply_to: ReplyTarget
    trigger_id: str

    @property
    def channel(self) -> str:
        """The channel of the payload, or the user's id where it has none."""
        return self.reply_to.channel or self.reply_to.user


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """The collaborators of the listeners.

    `background` runs the work that continues after an ack, `sleep` waits between retries, and
    `picker_updates` holds the running update of each picker dialog, by view id: the latest one.
    """

    client: AsyncWebClient
    links: Links
    service: CancellationService
    directory: Directory
    background: BackgroundTasks
    ack_timeout: float = ACK_TIMEOUT
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    picker_updates: MutableMapping[str, object] = field(default_factory=WeakValueDictionary)

    @property
    def identity(self) -> Identity:
        return self.links.identity

    @cached_property
    def channels(self) -> Channels:
        return Channels(self.client, self.identity)

    @cached_property
    def replies(self) -> PrivateReply:
        return PrivateReply(self.client)

    def interaction(self, body: Mapping[str, Any]) -> Interaction:
        """Read a payload with a user."""
        return Interaction(
            actor=actor_of(body, self.identity),
            reply_to=reply_target_of(body),
            trigger_id=str(body.get("trigger_id") or ""),
        )

    async def before_ack(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work before the ack; after the timeout it continues in the background."""
        return await run_until_deadline(work, self.background, self.ack_timeout)

    def start(self, work: Coroutine[Any, Any, None], name: str, reply_to: ReplyTarget) -> None:
        """Run work in the background; an unexpected error is reported privately."""

        def report(reference: str) -> Coroutine[Any, Any, None]:
            return self.replies.send_text(reply_to, internal_error_text(reference))

        self.background.start(work, name, report)

    def reply(self, body: Mapping[str, Any], text: str) -> None:
        """Send the user of a payload a private sentence (safe mrkdwn), in the background."""
        self.background.start(self.replies.send_text(reply_target_of(body), text), "private reply")
