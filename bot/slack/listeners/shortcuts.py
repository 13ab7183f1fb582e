"""Answers the shortcut in the menu of messages: the dialog for the job that a message names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import names
from bot.slack.leads import follow
from bot.slack.message import lead_in
from bot.slack.telling import spot_of
from bot.slack.who import channel_of

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.floor import Floor


def register(app: AsyncApp, floor: Floor) -> None:
    async def cancel_this(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        channel = channel_of(body) or spot_of(body).user
        lead = lead_in(body.get("message") or {}, channel, floor.desk.projects)
        follow(floor, lead, body, "shortcut used")

    app.shortcut(names.SHORTCUT)(cancel_this)
