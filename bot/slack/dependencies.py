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
from bot.slack.payloads import Interaction, interaction_of
from bot.slack.placement import Channels
from bot.slack.private_reply import PrivateReply
from bot.tasks import BackgroundTasks, run_until_deadline

T = TypeVar("T")

#: Seconds that an ack may wait for the database. Slack allows 3, of which the network needs some.
ACK_TIMEOUT = 2.5


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
        return interaction_of(body, self.identity)

    async def before_ack(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work before the ack; after the timeout it continues in the background."""
        return await run_until_deadline(work, self.background, self.ack_timeout)

    def start(self, work: Coroutine[Any, Any, None], name: str, by: Interaction) -> None:
        """Run work in the background; an unexpected error is reported privately."""

        def report(reference: str) -> Coroutine[Any, Any, None]:
            return self.replies.send_text(by, internal_error_text(reference))

        self.background.start(work, name, report)

    def reply(self, body: Mapping[str, Any], text: str) -> None:
        """Send the user of a payload a private sentence (safe mrkdwn), in the background."""
        self.background.start(self.replies.send_text(self.interaction(body), text), "private reply")
