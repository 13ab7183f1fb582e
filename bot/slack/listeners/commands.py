"""Answers /cancel-restore: a dialog, a private list, or a private sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import names
from bot.slack.blocks.help import private
from bot.slack.command import parse
from bot.slack.leads import follow, lead_of, note
from bot.slack.telling import spot_of
from bot.slack.who import channel_of

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.floor import Floor

TYPED = "command typed"


def register(app: AsyncApp, floor: Floor) -> None:
    async def cancel_restore(ack: AsyncAck, body: dict[str, Any]) -> None:
        typed = str(body.get("text") or "")
        channel = channel_of(body) or spot_of(body).user
        lead = lead_of(parse(typed), channel, floor.desk.projects, typed)
        if isinstance(lead, str):
            note(TYPED, lead, body)
            await ack(**private(lead))
        else:
            await ack()
            follow(floor, lead, body, TYPED)

    app.command(names.COMMAND)(cancel_restore)
