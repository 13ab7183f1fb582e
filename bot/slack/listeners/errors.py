"""Answers whatever a listener did not foresee, where the person is, with a reference id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from bot.slack.background import new_reference
from bot.slack.blocks import dialog
from bot.slack.blocks.help import private
from bot.slack.submissions import updated
from bot.slack.telling import spot_of

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp
    from slack_bolt.response import BoltResponse

    from bot.slack.floor import Floor

log = structlog.get_logger(__name__)


def register(app: AsyncApp, floor: Floor) -> None:
    async def failed(error: Exception, body: dict[str, Any], ack: AsyncAck) -> BoltResponse:
        reference = new_reference()
        log.error("listener failed", reference=reference, kind=body.get("type"), exc_info=error)
        if body.get("type") == "view_submission":
            return await ack(**updated(dialog.broken(reference)))
        if "command" in body:
            return await ack(**private(dialog.apology(reference)))
        if "user" in body:
            spot = spot_of(body)
            telling = floor.telling.tell(spot, dialog.apology(reference))
            floor.background.start(telling, "apology")
        return await ack()

    app.error(failed)
