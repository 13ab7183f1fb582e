"""The record's vocabulary: a closed list of audit events, chained by hash within each request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bot.cancellation.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping


class EventName(StrEnum):
    """What happened, as `subject:what`; each state of a request has the event that entered it."""

    CREATED = "request:created"  #: written down; the detail holds what was shown
    APPROVAL_GIVEN = "request:approval_given"  #: one person's yes that did not complete the quorum
    APPROVED = "request:approved"  #: the quorum is complete, or none was needed
    DENIED = "request:denied"  #: an approver said no
    WITHDRAWN = "request:withdrawn"  #: the requester took it back
    EXPIRED = "request:expired"  #: nobody approved in time
    RETRIED = "request:retried"  #: a person wants a failed request tried again
    CLAIMED = "request:cancelling"  #: a runner took it
    TAKEN_OVER = "request:taken_over"  #: another runner took it when the lease had run out
    CANCEL_SENT = "atlas:cancel_sent"  #: written before each DELETE
    CANCEL_ANSWERED = "atlas:cancel_answered"  #: what Atlas answered, or that no answer came
    CANCELLED = "request:cancelled"  #: Atlas's own read-back says so
    OVER = "request:over"  #: the job had ended already
    REFUSED = "request:refused"  #: Atlas said no
    CHANGED = "request:changed"  #: not the job that was shown
    FAILED = "request:failed"  #: could not be settled
    CARD_MOVED = "slack:card_moved"  #: the channel could not be posted in
    POST_DROPPED = "slack:post_dropped"  #: a message could not be delivered anywhere

    @classmethod
    def entering(cls, state: State) -> EventName:
        """Return the event that tells of entering `state`."""
        return cls(f"request:{state}")


#: After one of these nothing more is expected: a chain that ends elsewhere has lost its end.
CLOSING = frozenset(EventName.entering(state) for state in State if state.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the record, before it is chained.

    Attributes:
        name: what happened.
        request: the request's id.
        at: ISO 8601, UTC.
        actor: the Slack user id, or None for the bot itself.
        team: the actor's workspace, or the request's for the bot itself.
        detail: what the event adds; JSON values, ids not names.
    """

    name: EventName
    request: str
    at: str
    actor: str | None = None
    team: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One line of the record as it is kept: plain values, so that a changed one can be told.

    Attributes:
        number: the event's place in its request, from 1.
        detail: the JSON text exactly as stored.
        previous: the hash of the event before, or the empty string for the first.
        hash: SHA-256 over this event and `previous`, in hex.
    """

    request: str
    number: int
    at: str
    event: str
    actor: str | None
    team: str | None
    detail: str
    previous: str
    hash: str

    @property
    def expected_hash(self) -> str:
        """The hash that these very values should have."""
        values = [
            self.previous, self.request, self.number, self.at,
            self.event, self.actor, self.team, self.detail,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def chain(event: Event, number: int, previous: str) -> Recorded:
    """Chain `event` as the `number`th of its request, after the one whose hash is `previous`."""
    loose = Recorded(
        request=event.request,
        number=number,
        at=event.at,
        event=str(event.name),
        actor=event.actor,
        team=event.team,
        detail=json.dumps(event.detail, sort_keys=True, separators=(",", ":")),
        previous=previous,
        hash="",
    )
    values = {name: getattr(loose, name) for name in loose.__slots__}
    return Recorded(**values | {"hash": loose.expected_hash})
