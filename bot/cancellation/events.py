"""Audit events: a closed list of names, chained by hash in the order in which they are written."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bot.cancellation.lifecycle import TYPED_TEXTS, State


class EventName(StrEnum):
    """What happened, as `subject:verb`; each state has the event that entered it."""

    CREATED = "request:created"  #: recorded; the detail holds what was shown
    ACTED_ALONE = "request:acted_alone"  #: the requester broke the glass: it needs no approval
    REVIEWED = "request:reviewed"  #: an approver reviewed what was done without approval
    NOTIFIED = "request:notified"  #: the people in the detail get the card as a direct message
    REMINDED = "request:reminded"  #: it waits still: its approvers were reminded
    ESCALATED = "request:escalated"  #: it waits still: the people of `escalate_to` are notified
    APPROVAL_GIVEN = "request:approval_given"  #: an approval that did not complete the quorum
    APPROVAL_VOIDED = "request:approval_voided"  #: the approver in the detail lost the right
    APPROVALS_RAISED = "request:approvals_raised"  #: the policy requires more approvals by now
    AWAITING = "request:awaiting"  #: waits for approvals again, after a run or a retry
    APPROVED = "request:approved"  #: the quorum is complete, or no approval was required
    DENIED = "request:denied"  #: an approver denied it
    WITHDRAWN = "request:withdrawn"  #: the requester withdrew it, or a quarantine takes its place
    EXPIRED = "request:expired"  #: its approvals did not come in time
    RETRIED = "request:retried"  #: a person retried a failed request
    CLAIMED = "request:cancelling"  #: a runner claimed it
    TAKEN_OVER = "request:taken_over"  #: another runner claimed it after the lease ran out
    CHECK_FAILED = "request:check_failed"  #: Slack did not answer who has the rights
    CANCEL_SENT = "atlas:cancel_sent"  #: recorded before each DELETE
    CANCEL_ANSWERED = "atlas:cancel_answered"  #: Atlas's answer, or that none came
    CANCELLED = "request:cancelled"  #: Atlas's read-back shows it
    OVER = "request:over"  #: the job ended by other means
    REFUSED = "request:refused"  #: Atlas rejected it
    CHANGED = "request:changed"  #: the job differs from what was shown
    FAILED = "request:failed"  #: not settled
    PRUNED = "request:pruned"  #: its row was deleted; written by earlier versions only
    QUARANTINED = "request:quarantined"  #: it can be kept again
    KEPT = "request:kept"  #: an approver, or an expected starter, keeps the download
    KEEP_VOIDED = (
        "request:keep_voided"  #: who kept it, or another than was certain, may have started it
    )
    OBSERVED = "request:observed"  #: not kept, and not cancelled by the bot
    STARTER_KNOWN = "request:starter_known"  #: the activity feed named who started the job
    LINK_LIVE = "request:link_live"  #: the link went live while the request waited
    LINK_USED = "request:link_used"  #: the link was used or withdrawn while it waited
    JOB_ENDED = "request:job_ended"  #: it was to go on: a DELETE may have ended it late
    SEEN = "download:seen"  #: the watch listed a download for the first time
    DOWNLOAD_STARTER_KNOWN = "download:starter_known"  #: no one else may have started it
    DOWNLOAD_STARTER_UNCERTAIN = "download:starter_uncertain"  #: another person may have, too
    DOWNLOAD_LINK_LIVE = "download:link_live"  #: its link is or was live
    DOWNLOAD_ENDED = "download:ended"  #: it was cancelled, expired, finished or failed
    DOWNLOAD_CLAIMED = "download:claimed"  #: the person who was asked started it
    DOWNLOAD_DISOWNED = "download:disowned"  #: the person who was asked did not start it
    RESTORE_SEEN = "restore:seen"  #: the watch listed a restore into another project first
    CARD_MOVED = "slack:card_moved"  #: the card goes to another channel, since posting failed
    POST_DROPPED = "slack:post_dropped"  #: a message could not be delivered anywhere

    @classmethod
    def entering(cls, state: State) -> "EventName":
        """Return the event that records the entry into `state`."""
        return cls(f"request:{state}")


#: The state that an event enters, by its name.
STATES: Mapping[str, State] = {EventName.entering(state): state for state in State}


def state_entered(event: str, detail: Mapping[str, Any]) -> State | None:
    """Return the state that a request enters by an event, if it enters one."""
    is_first = event == EventName.CREATED
    return STATES.get(f"request:{detail.get('state')}" if is_first else event)


#: The fields of details that hold text which a person typed.
TYPED_FIELDS: Mapping[EventName, Collection[str]] = {
    EventName.CREATED: TYPED_TEXTS,
    EventName.DENIED: ["sentence"],
    EventName.KEPT: ["sentence"],
}


#: Stands before the id of a job in place of a request's id: such an event has no request.
JOB_PREFIX = "job:"


def is_about_job(request: object) -> bool:
    """Whether the stored value of an event's `request` names a job."""
    return isinstance(request, str) and request.startswith(JOB_PREFIX)


def subject_of(request: str) -> str:
    """Return the id of the request or job that an event is about; a damaged value as it is."""
    return request.removeprefix(JOB_PREFIX) if is_about_job(request) else request


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An audit event, before it is chained."""

    name: EventName  #: what happened
    request: str  #: the request's id, or the job's after `JOB_PREFIX`
    number: int  #: the event's place among those of its request or job, from 1
    at: str  #: ISO 8601, UTC
    actor: str | None = None  #: the Slack user id, or None for the bot
    team: str | None = None  #: the actor's workspace; the request's workspace for the bot
    detail: Mapping[str, Any] = field(default_factory=dict)  #: JSON values; ids, not names


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An audit event as it is stored: plain values, so that every change is detectable."""

    request: str  #: the request's id, or the job's after `JOB_PREFIX`
    number: int  #: the event's place among those of its request or job, from 1
    at: str
    event: str
    actor: str | None
    team: str | None
    detail: str  #: the JSON text exactly as stored
    previous: str  #: the reference of the event written before, of any request; empty for the first
    hash: str  #: SHA-256 over this event and `previous`, in hex

    @property
    def reference(self) -> str:
        """Hash, number and request in one text, from which a missing event can be named."""
        return f"{self.hash} {self.number} {self.request}"

    @property
    def subject(self) -> str:
        return subject_of(self.request)

    @property
    def expected_hash(self) -> str:
        """The hash of the stored values; a value of another type than stored by the bot differs."""
        values = [
            self.previous, self.request, self.number, self.at,
            self.event, self.actor, self.team, self.detail,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()


def chain(event: Event, previous: str) -> Recorded:
    """Chain `event` to the one with the reference `previous`."""
    unhashed = Recorded(
        request=event.request,
        number=event.number,
        at=event.at,
        event=str(event.name),
        actor=event.actor,
        team=event.team,
        detail=json.dumps(event.detail, sort_keys=True, separators=(",", ":")),
        previous=previous,
        hash="",
    )
    return replace(unhashed, hash=unhashed.expected_hash)


#: The fields of every event, under the same names in each format and in the webhook.
COLUMNS = ("at", "event", "request", "actor", "team")
OWN_FIELDS = (*COLUMNS, "number", "hash")  #: those that the detail cannot replace


def readable_fields(event: Recorded) -> tuple[dict[str, Any], bool]:
    """Return the fields of an event, and whether it is damaged; then maybe only its own fields."""
    stored = {name: getattr(event, name) for name in OWN_FIELDS}
    own = {k: v if isinstance(v, str | int | None) else repr(v) for k, v in stored.items()}
    is_damaged = own != stored or not isinstance(event.detail, str)
    if is_about_job(event.request):
        own["request"] = None
    try:
        return {**json.loads(event.detail), **own}, is_damaged
    except (ValueError, TypeError, RecursionError):  # the detail is not a JSON object
        return own, True
