"""Messages in the outbox: each is posted once, and edited until it shows the last change."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from bot.cancellation.events import EventName
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Card, Request

#: The namespace of `client_msg_id`, by which Slack recognises a repeated message.
NAMESPACE = uuid.UUID("5ac62bd7-7a1c-5f0e-9d55-3d1f6a0c4f10")


class PostKind(StrEnum):
    """The kinds of messages."""

    CARD = "card"  #: posts the request's card; the request's other posts wait for it
    SECOND_CARD = "second card"  #: a repeated card, of which Slack had the first; it is clicked
    REPLY = "reply"  #: one step, in the card's thread
    DIRECT = "direct"  #: a direct message to one person about a request
    COPY = "copy"  #: the card of a waiting request as a direct message to one approver
    ANNOUNCEMENT = "announcement"  #: a watched job
    QUESTION = "question"  #: asks the starter of a watched job, in a direct message
    ALARM = "alarm"  #: the starter says that it was not they, in the announcement's thread


class PostState(StrEnum):
    """Whether a message is still to be posted."""

    DUE = "due"
    SENT = "sent"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePost:
    """One message, claimed by this process until its lease runs out."""

    id: int
    kind: PostKind
    client_msg_id: str  #: the same for every attempt
    attempts: int  #: how often delivery was tried, this time included
    recipient: str | None = None  #: the user who gets a direct message; None for a channel
    place: Card | None = None  #: where the message is edited; None until it is posted
    wanted: int = 0  #: the number of changes that it shows once this post is delivered

    @property
    def is_edit(self) -> bool:
        return self.place is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPost(BasePost):
    """A message about a request."""

    request: Request  #: the request when the post was claimed; a card shows this state
    event: EventName  #: the event that a reply reports
    actor: str | None  #: the Slack user id of the person who caused the event, or None for the bot
    at: datetime  #: when the event happened
    detail: Mapping[str, Any] = field(default_factory=dict)  #: the event's detail
    job: Job | None = None  #: the request's job


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement(BasePost):
    """A message about a restore job that the watch found; `job` is its state at the claim."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterPost(BasePost):
    """The question to the starter of a job, or the alarm that follows; `job` is as it is now."""

    job: Job


Post: TypeAlias = RequestPost | Announcement | StarterPost


def message_id(subject: str, event: str, number: int) -> str:
    """Derive the `client_msg_id` of a post from its subject and event."""
    return str(uuid.uuid5(NAMESPACE, f"{subject}/{event}/{number}"))
