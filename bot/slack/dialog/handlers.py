"""Answers submitted dialogs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.actor import actor_of
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.submissions import updated

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.handlers import Handlers

UNKNOWN = "This dialog is of another version of the bot. Please type the command again."


def register(app: AsyncApp, floor: Handlers) -> None:
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        who = actor_of(body, floor.identity)
        await ack(**await floor.submissions.submit(body["view"], who))

    async def denied(ack: AsyncAck, body: dict[str, Any]) -> None:
        who = actor_of(body, floor.identity)
        await ack(**await floor.submissions.deny(body["view"], who))

    async def unknown(ack: AsyncAck) -> None:
        await ack(**updated(dialog_views.refused(UNKNOWN)))

    app.view(ids.DIALOG)(submitted)
    app.view(ids.DENY_DIALOG)(denied)
    app.view(re.compile(".*"))(unknown)
