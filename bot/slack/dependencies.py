"""What the listeners share, built once by `build_app`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bot.slack.card.decisions import CardActions
from bot.slack.deadline import FOR_AN_ACK
from bot.slack.dialog.flow import Dialogs
from bot.slack.dialog.search import Searches
from bot.slack.dialog.submissions import Submissions
from bot.slack.home.flow import Home
from bot.slack.lists.flow import Listings
from bot.slack.picker.flow import Pickers
from bot.slack.picker.options import Offers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.slack.directory import Directory
    from bot.slack.identity import Identity
    from bot.slack.links import Links
    from bot.slack.placement import Channels
    from bot.slack.ports import Desk
    from bot.slack.private_reply import PrivateReply
    from bot.tasks import BackgroundTasks


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """The collaborators of the listeners, and the features built from them.

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
    """

    client: AsyncWebClient
    identity: Identity
    service: Desk
    directory: Directory
    channels: Channels
    replies: PrivateReply
    links: Links
    background: BackgroundTasks
    ack_timeout: float = FOR_AN_ACK
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    @cached_property
    def dialogs(self) -> Dialogs:
        return Dialogs(self)

    @cached_property
    def searches(self) -> Searches:
        return Searches(self)

    @cached_property
    def pickers(self) -> Pickers:
        return Pickers(self)

    @cached_property
    def offers(self) -> Offers:
        return Offers(self)

    @cached_property
    def listings(self) -> Listings:
        return Listings(self)

    @cached_property
    def home(self) -> Home:
        return Home(self)

    @cached_property
    def submissions(self) -> Submissions:
        return Submissions(self)

    @cached_property
    def card_actions(self) -> CardActions:
        return CardActions(self)
