"""The collaborators that dialogs, submissions and clicks have in common."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.slack.deadline import FOR_AN_ACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.slack.directory import Directory
    from bot.slack.links import Links
    from bot.slack.placement import Channels
    from bot.slack.ports import Desk
    from bot.slack.private_reply import PrivateReply
    from bot.tasks import BackgroundTasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the Slack side works with.

    Attributes:
        client: the Web API.
        desk: the domain.
        directory: who people are.
        channels: where a card can stand.
        telling: private answers.
        links: where links lead.
        background: takes what goes on after an ack.
        patience: seconds that an ack may wait for the ledger.
        sleep: waits between tries.
    """

    client: AsyncWebClient
    desk: Desk
    directory: Directory
    channels: Channels
    telling: PrivateReply
    links: Links
    background: BackgroundTasks
    patience: float = FOR_AN_ACK
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
