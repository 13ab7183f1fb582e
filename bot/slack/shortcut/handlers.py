"""Answers the shortcut in the menu of messages: the dialog for the job that a message names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.payloads import channel_of
from bot.slack.private_reply import reply_target_of
from bot.slack.routing import dispatch
from bot.slack.shortcut.message import lead_in

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.bolt_app import Dependencies


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def cancel_this(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        channel = channel_of(body) or reply_target_of(body).user
        lead = lead_in(body.get("message") or {}, channel, deps.service.projects)
        dispatch(deps, lead, body, "shortcut used")

    app.shortcut(ids.SHORTCUT)(cancel_this)
