"""Opens a dialog by the trigger that came with a click or a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.slack.errors import CALL_ERRORS, DialogTooLate, meaning_of

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.slack.blockkit import View


async def open_dialog(client: AsyncWebClient, trigger_id: str, view: View) -> str:
    """Open a dialog and return its id; raises `SlackTrouble`."""
    if not trigger_id:
        # Slack would name no trigger in its answer, but a mistake in our call.
        raise DialogTooLate
    try:
        answer = await client.views_open(trigger_id=trigger_id, view=view)
    except CALL_ERRORS as error:
        raise meaning_of(error) from error
    return str((answer.get("view") or {})["id"])
