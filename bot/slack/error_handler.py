"""Answers whatever a listener did not foresee, where the person is, with a reference id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from bot.slack.command.views import private
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.submissions import updated
from bot.slack.private_reply import reply_target_of
from bot.tasks import new_reference

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp
    from slack_bolt.response import BoltResponse

    from bot.slack.dependencies import Dependencies

log = structlog.get_logger(__name__)


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def failed(error: Exception, body: dict[str, Any], ack: AsyncAck) -> BoltResponse:
        reference = new_reference()
        log.error("listener failed", reference=reference, kind=body.get("type"), exc_info=error)
        if body.get("type") == "view_submission":
            return await ack(**updated(dialog_views.broken(reference)))
        if "command" in body:
            return await ack(**private(dialog_views.apology(reference)))
        if "user" in body:
            reply_to = reply_target_of(body)
            telling = deps.replies.send_text(reply_to, dialog_views.apology(reference))
            deps.background.start(telling, "apology")
        return await ack()

    app.error(failed)
