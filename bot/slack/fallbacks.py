"""Answers payloads without a listener, and errors that no listener handled."""

from __future__ import annotations

import re
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.response import BoltResponse

from bot.slack import ids, mrkdwn
from bot.slack.command.views import private
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.handlers import update_with
from bot.slack.error_messages import UNKNOWN_BUTTON, UNKNOWN_SHORTCUT
from bot.slack.private_reply import reply_target_of
from bot.tasks import new_reference

ANYTHING = re.compile(".*", re.DOTALL)

#: Buttons that only open a page; Slack sends their clicks too.
LINK_BUTTONS = frozenset({ids.ATLAS_LINK, ids.CARD_LINK})

log = structlog.get_logger(__name__)


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def command(ack: AsyncAck, body: dict[str, Any]) -> None:
        name = mrkdwn.escape(str(body["command"])[:100])
        await ack(**private(f"{name} is not known here. Please type `/cancel-restore help`."))

    async def shortcut(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _send_later(deps, body, UNKNOWN_SHORTCUT)

    async def button(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        if body["actions"][0].get("action_id") not in LINK_BUTTONS:
            _send_later(deps, body, UNKNOWN_BUTTON)

    async def options(ack: AsyncAck) -> None:
        await ack(options=[])

    async def nothing(ack: AsyncAck) -> None:
        await ack()

    app.command(ANYTHING)(command)
    app.shortcut(ANYTHING)(shortcut)
    app.action(ANYTHING)(button)
    app.options(ANYTHING)(options)
    app.view_closed(ANYTHING)(nothing)
    app.event(ANYTHING)(nothing)
    _register_error_handler(app, deps)


def _register_error_handler(app: AsyncApp, deps: Dependencies) -> None:
    async def unhandled_error(
        error: Exception, body: dict[str, Any], ack: AsyncAck
    ) -> BoltResponse:
        reference = new_reference()
        log.error("listener failed", reference=reference, kind=body.get("type"), exc_info=error)
        if body.get("type") == "view_submission":
            return await ack(**update_with(dialog_views.internal_error(reference)))
        if "command" in body:
            return await ack(**private(dialog_views.internal_error_text(reference)))
        if "user" in body:
            _send_later(deps, body, dialog_views.internal_error_text(reference))
        return await ack()

    app.error(unhandled_error)


def _send_later(deps: Dependencies, body: dict[str, Any], text: str) -> None:
    deps.background.start(deps.replies.send_text(reply_target_of(body), text), "private reply")
