"""Audit events: a closed list of names, chained by hash in the order in which they are written."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.cancellation.request import State


class EventName(StrEnum):
    """What happened, as `subject:verb`; each state has the event that entered it."""

    CREATED = "request:created"  #: the detail holds what was shown
    ACTED_ALONE = "request:acted_alone"  #: somebody cancels without approval
    APPROVAL_GIVEN = "request:approval_given"  #: an approval that did not complete the number
    APPROVAL_VOIDED = "request:approval_voided"  #: the approver in the detail lost the right
    AWAITING = "request:awaiting"  #: it waits for approvals again
    APPROVED = "request:approved"
    REMINDED = "request:reminded"
    DENIED = "request:denied"
    WITHDRAWN = "request:withdrawn"
    EXPIRED = "request:expired"
    CANCELLING = "request:cancelling"
    CANCEL_SENT = "atlas:cancel_sent"  #: recorded before each DELETE
    CANCEL_ANSWERED = "atlas:cancel_answered"  #: Atlas's answer, or that none came
    CANCELLED = "request:cancelled"
    OVER = "request:over"
    REFUSED = "request:refused"
    CHANGED = "request:changed"
    FAILED = "request:failed"
    LET_RUN = "download:let_run"  #: it has no request

    @classmethod
    def entering(cls, state: State) -> "EventName":
        """Return the event that records the entry into `state`."""
        return cls(f"request:{state}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An audit event, before it is chained."""

    name: EventName
    at: str  #: ISO 8601, UTC
    request: str | None = None  #: the request's id; None for an event about a download
    actor: str | None = None  #: a Slack user id, `cli:name`, or None for the bot
    team: str | None = None  #: the actor's workspace
    detail: Mapping[str, Any] = field(default_factory=dict)  #: JSON values; ids, not names

    def fields(self) -> dict[str, Any]:
        """Return the fields of a line of `audit`, without the hash."""
        return {
            "at": self.at,
            "event": str(self.name),
            "request": self.request,
            "actor": self.actor,
            "team": self.team,
            **self.detail,
        }


def canonical(fields: Mapping[str, Any]) -> str:
    """Return the one JSON text of an event, which is stored and hashed."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chain(previous: str, text: str) -> str:
    """Return the hash of an event: over the hash before it and its own canonical JSON."""
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
