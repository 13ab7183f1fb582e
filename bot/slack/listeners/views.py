"""Answers submitted dialogs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import names
from bot.slack.blocks import dialog
from bot.slack.submissions import updated
from bot.slack.who import who_is

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.floor import Floor

UNKNOWN = "This dialog is of another version of the bot. Please type the command again."


def register(app: AsyncApp, floor: Floor) -> None:
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        who = who_is(body, floor.identity)
        await ack(**await floor.submissions.submit(body["view"], who))

    async def denied(ack: AsyncAck, body: dict[str, Any]) -> None:
        who = who_is(body, floor.identity)
        await ack(**await floor.submissions.deny(body["view"], who))

    async def unknown(ack: AsyncAck) -> None:
        await ack(**updated(dialog.refused(UNKNOWN)))

    app.view(names.DIALOG)(submitted)
    app.view(names.DENY_DIALOG)(denied)
    app.view(re.compile(".*"))(unknown)
