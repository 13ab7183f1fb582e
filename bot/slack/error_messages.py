"""The sentences that people read for errors (pure)."""

from __future__ import annotations

from bot.cancellation.errors import (
    ChannelNotAllowed,
    JobAlreadyRequested,
    NotAllowed,
    NotTheRequester,
    RequestExpired,
    StateConflict,
)
from bot.slack import mrkdwn
from bot.slack.links import Links

UNKNOWN_BUTTON = "This button is of another version of the bot. Please type `/cancel-restore`."
UNKNOWN_DIALOG = "This dialog is of another version of the bot. Please type `/cancel-restore`."
UNKNOWN_SHORTCUT = "This shortcut is of another version of the bot. Please type `/cancel-restore`."


def sentence_for(error: Exception, links: Links | None = None) -> str:
    """Return what went wrong as safe mrkdwn, with a hint about what or whom to ask next."""
    sentence = mrkdwn.escape(str(error))
    match error:
        case JobAlreadyRequested(request=request):
            card = mrkdwn.link(links.card_of(request) if links else None, "its card")
            sentence = (
                f"{mrkdwn.person(request.requester)} asked for this restore job already, "
                f"{mrkdwn.date(request.created_at)}."
            )
            hint = f"{mrkdwn.request_status(request)} See {card}."
        case RequestExpired(request=request):
            hint = f"It ended {mrkdwn.date(request.expires_at)}."
        case StateConflict(request=request):
            hint = mrkdwn.request_status(request)
        case ChannelNotAllowed(channels=channels):
            hint = f"It works in {mrkdwn.join(map(mrkdwn.channel, sorted(channels)))}."
        case NotTheRequester(requester=requester):
            hint = f"That is {mrkdwn.person(requester)}."
        case NotAllowed(ask=ask) if ask:
            hint = f"This may be done by {mrkdwn.people(ask)}."
        case _:
            return sentence
    return f"{sentence} {hint}"
