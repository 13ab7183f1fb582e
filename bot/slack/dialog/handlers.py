"""Answers submitted dialogs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.submissions import updated
from bot.slack.payloads import actor_of

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.bolt_app import Dependencies

UNKNOWN = "This dialog is of another version of the bot. Please type the command again."


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        actor = actor_of(body, deps.identity)
        await ack(**await deps.submissions.submit(body["view"], actor))

    async def denied(ack: AsyncAck, body: dict[str, Any]) -> None:
        actor = actor_of(body, deps.identity)
        await ack(**await deps.submissions.deny(body["view"], actor))

    async def unknown(ack: AsyncAck) -> None:
        await ack(**updated(dialog_views.refused(UNKNOWN)))

    app.view(ids.DIALOG)(submitted)
    app.view(ids.DENY_DIALOG)(denied)
    app.view(re.compile(".*"))(unknown)
