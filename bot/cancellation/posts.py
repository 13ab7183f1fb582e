"""What is to be posted or edited in Slack: written with the transition, delivered afterwards."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bot.cancellation.events import EventName
    from bot.cancellation.lifecycle import Request

#: Our own namespace for the ids that let Slack recognise a repeated post.
NAMESPACE = uuid.UUID("5ac62bd7-7a1c-5f0e-9d55-3d1f6a0c4f10")


class PostKind(StrEnum):
    """What kind of message a post is."""

    CARD = "card"  #: the one card; everything else of the request waits for it
    EDIT = "edit"  #: the card again, as the row is now
    REPLY = "reply"  #: one step, in the card's thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One message to deliver, claimed for this process until its lease runs out.

    Attributes:
        request: the request as it is now: a card renders this, never what was.
        event: what a reply tells of.
        actor: the user id of whoever did it, or None for the bot itself.
        at: when it happened.
        detail: what the event adds.
        client_msg_id: the same for every try of this post.
        attempts: how often it has been tried, this time included.
    """

    id: int
    request: Request
    kind: PostKind
    event: EventName
    actor: str | None
    at: datetime
    client_msg_id: str
    attempts: int
    detail: Mapping[str, Any] = field(default_factory=dict)


def message_id(request: str, event: str, number: int) -> str:
    """Derive the `client_msg_id` of a post from its request and event."""
    return str(uuid.uuid5(NAMESPACE, f"{request}/{event}/{number}"))


class Posts(Protocol):
    """The outbox, as whoever delivers sees it."""

    async def claim_posts(self, owner: str, limit: int) -> Sequence[Post]:
        """Take up to `limit` posts that are due, in order within each request."""

    async def post_sent(self, post: Post, channel: str, ts: str) -> None:
        """Note where the message stands now; a card's place becomes its request's."""

    async def post_again(self, post: Post, seconds: float, error: str) -> None:
        """Put the post back, due again in `seconds`."""

    async def post_dropped(self, post: Post, error: str) -> None:
        """Give the post up, for good and on record."""

    async def move_card(self, post: Post, channel: str, because: str) -> None:
        """Send the request's card, and all that follows it, to `channel` instead, on record."""
