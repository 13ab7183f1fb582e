"""Answers what is not for this bot, so that nobody waits and Slack does not send it again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import mrkdwn
from bot.slack.command.views import private
from bot.slack.private_reply import reply_target_of

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.dependencies import Dependencies

ANYTHING = re.compile(".*", re.DOTALL)
SHORTCUT = "This shortcut is of another version of the bot. Please type `/cancel-restore`."


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def command(ack: AsyncAck, body: dict[str, Any]) -> None:
        name = mrkdwn.escape(str(body["command"])[:100])
        await ack(**private(f"{name} is not known here. Please type `/cancel-restore help`."))

    async def shortcut(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        telling = deps.replies.send_text(reply_target_of(body), SHORTCUT)
        deps.background.start(telling, "private answer")

    async def options(ack: AsyncAck) -> None:
        await ack(options=[])

    async def nothing(ack: AsyncAck) -> None:
        await ack()

    app.command(ANYTHING)(command)
    app.shortcut(ANYTHING)(shortcut)
    app.options(ANYTHING)(options)
    app.view_closed(ANYTHING)(nothing)
    app.event(ANYTHING)(nothing)
