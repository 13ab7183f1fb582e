"""The collaborators that the listeners of all features share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from slack_sdk.web.async_client import AsyncWebClient

from bot.services.service import CancellationService
from bot.slack.client import Identity
from bot.slack.directory import Directory
from bot.slack.links import Links
from bot.slack.placement import Channels
from bot.slack.private_reply import PrivateReply
from bot.tasks import BackgroundTasks

#: Seconds that an ack may wait for the database. Slack allows 3, of which the network needs some.
ACK_TIMEOUT = 2.5


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """The collaborators of the listeners.

    Attributes:
        client: the Web API.
        identity: the bot's own ids.
        service: what a person can do with requests.
        directory: looks up people and user groups.
        channels: looks up channels.
        replies: sends private messages.
        links: builds links to Atlas and to messages.
        background: runs the work that continues after an ack.
        ack_timeout: seconds that an ack may wait for the database.
        sleep: waits between retries.
        picker_updates: the latest update of each picker dialog, by view id.
    """

    client: AsyncWebClient
    identity: Identity
    service: CancellationService
    directory: Directory
    channels: Channels
    replies: PrivateReply
    links: Links
    background: BackgroundTasks
    ack_timeout: float = ACK_TIMEOUT
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    picker_updates: dict[str, object] = field(default_factory=dict)
