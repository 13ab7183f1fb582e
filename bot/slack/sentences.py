"""From our errors to the sentences that people read (pure): mrkdwn, safe to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cancellation.errors import (
    ApprovalRanOut,
    CancellationError,
    ChannelNotAllowed,
    JobTaken,
    NotAllowed,
    NotTheRequester,
    Overtaken,
)
from bot.slack.blocks import text

if TYPE_CHECKING:
    from bot.slack.links import Links


def sentence_for(error: Exception, links: Links | None = None) -> str:
    """Say what went wrong, and whom or what to ask next."""
    if isinstance(error, JobTaken):
        return _taken(error, links)
    if isinstance(error, ApprovalRanOut):
        return f"{text.escape(error.sentence)} It ended {text.when(error.request.expires_at)}."
    if isinstance(error, Overtaken):
        return f"{text.escape(error.sentence)} {text.what_happened(error.request)}"
    if isinstance(error, NotAllowed):
        return " ".join([text.escape(error.sentence), *_whom(error)])
    if isinstance(error, CancellationError):
        return text.escape(error.sentence)
    return text.escape(str(error))


def _taken(error: JobTaken, links: Links | None) -> str:
    request = error.request
    card = text.link(links.card_of(request) if links else None, "its card")
    return (
        f"{text.person(request.requester)} asked for this restore job already, "
        f"{text.when(request.created_at)}. {text.what_happened(request)} See {card}."
    )


def _whom(error: NotAllowed) -> list[str]:
    if isinstance(error, ChannelNotAllowed):
        places = text.listed(map(text.channel, sorted(error.channels)))
        return [f"It works in {places}."]
    if isinstance(error, NotTheRequester):
        return [f"That is {text.person(error.requester)}."]
    return [f"This may be done by {text.people(error.ask)}."] if error.ask else []
