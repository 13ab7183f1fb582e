"""What the log of a start says of the ids in the settings, by the checks that doctor makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bot.doctor.results import Level
from bot.doctor.slack import Inside
from bot.doctor.tokens import Us

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.settings import Settings
    from bot.slack.identity import Identity

log = structlog.get_logger(__name__)


async def warn_about_ids(settings: Settings, client: AsyncWebClient, identity: Identity) -> None:
    """Ask Slack once about every channel, person and group that is named.

    Without this a channel for audits that is not there would only be noticed by who misses its
    cards: they go to direct messages.
    """
    us = Us(identity=identity, scopes=None, app="")
    for found in await Inside(settings, client, us).examine():
        if found.level is Level.PROBLEM:
            log.warning(
                "setting needs attention", setting=found.about, why=found.says, what_to_do=found.do
            )
