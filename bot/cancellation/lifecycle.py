"""A request's life: its states, what follows what, and what a look at the job means (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bot.atlas import JobRef, RestoreJob


class State(StrEnum):
    """Where a request stands; each member with the sentence that explains it."""

    AWAITING = "awaiting"  #: waits for the approvals of other people
    APPROVED = "approved"  #: may run, and nobody has taken it yet
    CANCELLING = "cancelling"  #: a runner holds it by a lease
    CANCELLED = "cancelled"  #: Atlas itself says that the job is cancelled
    OVER = "over"  #: the job had ended before we could cancel it
    REFUSED = "refused"  #: Atlas said no, with its code
    CHANGED = "changed"  #: the job is not the one that was shown
    FAILED = "failed"  #: could not be settled; a person must look
    DENIED = "denied"  #: an approver said no
    EXPIRED = "expired"  #: nobody approved in time
    WITHDRAWN = "withdrawn"  #: the requester took it back

    @property
    def ended(self) -> bool:
        """Whether nothing follows by itself."""
        return self not in OPEN


#: What may follow a state; `failed` can be tried again by a person.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.AWAITING: frozenset({State.APPROVED, State.DENIED, State.EXPIRED, State.WITHDRAWN}),
    State.APPROVED: frozenset({State.CANCELLING}),
    State.CANCELLING: frozenset(
        {State.CANCELLED, State.OVER, State.REFUSED, State.CHANGED, State.FAILED}
    ),
    State.FAILED: frozenset({State.APPROVED}),
}

#: The states in which a request keeps others from asking for the same job.
OPEN = frozenset({State.AWAITING, State.APPROVED, State.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFingerprint:
    """The job as the requester saw it: what the fingerprint compares, and what the card repeats.

    Attributes:
        delivery_type: Atlas's word: `download`, `automated`, `pointInTime`.
        snapshot_id: 24 hex digits.
        snapshot_time: when the snapshot was taken, or None where Atlas gave none.
        cancellable: whether the job could be cancelled when it was shown.
        target: where the restore writes to (`project/cluster`), or None for a download.
        link_is_live: whether the download link existed; becoming live later is not a change.
        expires_at: when the link ends, or None.
    """

    delivery_type: str
    snapshot_id: str
    snapshot_time: datetime | None
    cancellable: bool
    target: str | None = None
    link_is_live: bool = False
    expires_at: datetime | None = None

    @classmethod
    def of(cls, job: RestoreJob) -> JobFingerprint:
        """Take the fingerprint of a job that Atlas has just answered."""
        return cls(
            delivery_type=str(job.delivery_type),
            snapshot_id=job.snapshot_id,
            snapshot_time=job.snapshot_time,
            cancellable=job.can_be_cancelled,
            target=_target(job),
            link_is_live=job.link_is_live,
            expires_at=job.expires_at,
        )

    def matches(self, job: RestoreJob) -> bool:
        """Whether `job` is what was shown (design: a link that became live is not a change)."""
        return self.fingerprint == JobFingerprint.of(job).fingerprint

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What must not have changed; the job's id is part of the request itself."""
        return (
            self.delivery_type,
            self.snapshot_id,
            self.snapshot_time,
            self.cancellable,
            self.target,
        )


def _target(job: RestoreJob) -> str | None:
    if not job.target_cluster_name:
        return None
    return f"{job.target_project_id or '?'}/{job.target_cluster_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's yes."""

    user: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a request ended, in words and in Atlas's terms.

    Attributes:
        sentence: what happened and what to do now, for people.
        status: the HTTP status of Atlas's last word, if it had one.
        code: Atlas's `errorCode`, if it gave one.
        by: the user id of whoever ended it, or None for the bot itself.
    """

    sentence: str = ""
    status: int | None = None
    code: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAttempts:
    """What is known of the DELETEs that this request has sent.

    Attributes:
        count: how many were begun.
        accepted: whether Atlas accepted one (2xx).
        unknown: whether the answer to one is not known: it may have taken effect.
    """

    count: int = 0
    accepted: bool = False
    unknown: bool = False

    @property
    def may_have_taken_effect(self) -> bool:
        return self.accepted or self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where the card stands in Slack."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One person's wish to cancel one restore job, as the ledger has it now.

    Attributes:
        id: the request's id, the value of its buttons.
        key: what makes a second submission the same request (the view's id).
        channel: where the card goes.
        asked_in: where the command was typed.
        approvals_needed: how many other people must approve.
        expires_at: until when it may be approved, or tried again.
        changed_at: when the state was entered.
        sent: what is known of its DELETEs.
    """

    id: str
    key: str
    state: State
    ref: JobRef
    project_name: str
    team: str
    requester: str
    asked_in: str
    channel: str
    reason: str
    shown: JobFingerprint
    approvals_needed: int
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    approvals: tuple[Approval, ...] = ()
    sent: DeleteAttempts = DeleteAttempts()
    outcome: Outcome = Outcome()
    card: Card | None = None
    moved_because: str | None = None

    @property
    def approved_by(self) -> frozenset[str]:
        return frozenset(approval.user for approval in self.approvals)

    @property
    def approvals_missing(self) -> int:
        return max(0, self.approvals_needed - len(self.approvals))


class Step(StrEnum):
    """What a runner does next with the job it has just read."""

    SEND = "send"  #: send the DELETE
    WAIT = "wait"  #: Atlas accepted it; read again until it shows
    CANCELLED = "cancelled"  #: settle as cancelled
    OVER = "over"  #: settle as over
    CHANGED = "changed"  #: settle as changed


def next_step(shown: JobFingerprint, sent: DeleteAttempts, job: RestoreJob) -> Step:
    """Decide from a fresh answer of Atlas, and from nothing else.

    The order matters: a job that reads cancelled is ours only if a DELETE of ours may have worked;
    and a DELETE is sent only when this very answer shows the job there to cancel.
    """
    if job.cancelled:
        return Step.CANCELLED if sent.may_have_taken_effect else Step.OVER
    if job.is_over:
        return Step.OVER
    if not shown.matches(job):
        return Step.CHANGED
    return Step.WAIT if sent.accepted else Step.SEND
