"""Handles /cancel-restore: opens a dialog, or answers with a list or a text."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.slack import ids
from bot.slack.command.grammar import parse
from bot.slack.command.views import private
from bot.slack.dependencies import Dependencies
from bot.slack.payloads import channel_of
from bot.slack.private_reply import reply_target_of
from bot.slack.routing import dispatch, log_route, route

TYPED = "command typed"


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def cancel_restore(ack: AsyncAck, body: dict[str, Any]) -> None:
        typed = str(body.get("text") or "")
        channel = channel_of(body) or reply_target_of(body).user
        to = route(parse(typed), channel, deps.service.projects, typed)
        if isinstance(to, str):
            log_route(TYPED, to, body)
            await ack(**private(to))
        else:
            await ack()
            dispatch(deps, to, body, TYPED)

    app.command(ids.COMMAND)(cancel_restore)
