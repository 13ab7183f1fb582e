"""From our errors to the sentences that people read (pure): mrkdwn, safe to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cancellation.errors import (
    CancellationError,
    ChannelNotAllowed,
    JobAlreadyRequested,
    NotAllowed,
    NotTheRequester,
    RequestExpired,
    StateConflict,
)
from bot.slack import mrkdwn

if TYPE_CHECKING:
    from bot.slack.links import Links

UNKNOWN_BUTTON = "This button is of another version of the bot. Please type `/cancel-restore`."
UNKNOWN_DIALOG = "This dialog is of another version of the bot. Please type `/cancel-restore`."
UNKNOWN_SHORTCUT = "This shortcut is of another version of the bot. Please type `/cancel-restore`."


def sentence_for(error: Exception, links: Links | None = None) -> str:
    """Say what went wrong, and whom or what to ask next."""
    if isinstance(error, JobAlreadyRequested):
        return _taken(error, links)
    if isinstance(error, RequestExpired):
        return f"{mrkdwn.escape(error.sentence)} It ended {mrkdwn.date(error.request.expires_at)}."
    if isinstance(error, StateConflict):
        return f"{mrkdwn.escape(error.sentence)} {mrkdwn.request_status(error.request)}"
    if isinstance(error, NotAllowed):
        return " ".join([mrkdwn.escape(error.sentence), *_whom(error)])
    if isinstance(error, CancellationError):
        return mrkdwn.escape(error.sentence)
    return mrkdwn.escape(str(error))


def _taken(error: JobAlreadyRequested, links: Links | None) -> str:
    request = error.request
    card = mrkdwn.link(links.card_of(request) if links else None, "its card")
    return (
        f"{mrkdwn.person(request.requester)} asked for this restore job already, "
        f"{mrkdwn.date(request.created_at)}. {mrkdwn.request_status(request)} See {card}."
    )


def _whom(error: NotAllowed) -> list[str]:
    if isinstance(error, ChannelNotAllowed):
        places = mrkdwn.join(map(mrkdwn.channel, sorted(error.channels)))
        return [f"It works in {places}."]
    if isinstance(error, NotTheRequester):
        return [f"That is {mrkdwn.person(error.requester)}."]
    return [f"This may be done by {mrkdwn.people(error.ask)}."] if error.ask else []
