"""The life cycle of a request: states, transitions, and the next step of a run (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.atlas import JobRef, RestoreJob


class State(StrEnum):
    """The state of a request."""

    AWAITING = "awaiting"  #: waits for approvals
    APPROVED = "approved"  #: ready to run, not claimed yet
    CANCELLING = "cancelling"  #: claimed by a runner with a lease
    CANCELLED = "cancelled"  #: Atlas's read-back shows the job cancelled
    OVER = "over"  #: the job ended by other means
    REFUSED = "refused"  #: Atlas rejected the DELETE or the GET before it
    CHANGED = "changed"  #: the job differs from what was shown
    FAILED = "failed"  #: not settled; a person must check the job in Atlas
    DENIED = "denied"  #: an approver denied it
    EXPIRED = "expired"  #: its approvals did not come in time
    WITHDRAWN = "withdrawn"  #: the requester withdrew it, or a quarantine takes its place
    QUARANTINED = "quarantined"  #: the bot's own request, in the time in which people may keep it
    KEPT = "kept"  #: an approver, or an expected starter, keeps the download
    OBSERVED = "observed"  #: not kept, and not cancelled by the bot

    @property
    def ended(self) -> bool:
        """Whether the state is final; a person may still retry a failed request."""
        return self not in OPEN


#: The allowed transitions. A person may retry a failed request; a run whose policy no longer holds
#: returns its request to the approvers.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.AWAITING: frozenset({State.APPROVED, State.DENIED, State.EXPIRED, State.WITHDRAWN}),
    State.QUARANTINED: frozenset({State.APPROVED, State.KEPT, State.OBSERVED, State.OVER}),
    State.APPROVED: frozenset({State.CANCELLING}),
    State.CANCELLING: frozenset(
        {
            State.CANCELLED,
            State.OVER,
            State.REFUSED,
            State.CHANGED,
            State.FAILED,
            State.AWAITING,
            State.QUARANTINED,
            State.KEPT,
            State.OBSERVED,
        }
    ),
    State.FAILED: frozenset({State.APPROVED, State.AWAITING}),
}

#: The states that block a second request for the same job.
OPEN = frozenset({State.AWAITING, State.APPROVED, State.CANCELLING, State.QUARANTINED})

#: The states in which people decide.
UNDECIDED = frozenset({State.AWAITING, State.QUARANTINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFingerprint:
    """The job as it was shown: the compared fields, and what the card repeats.

    Attributes:
        delivery_type: `download`, `automated` or `pointInTime`.
        snapshot_id: 24 hex digits.
        snapshot_time: when the snapshot was taken, or None if Atlas gave no time.
        cancellable: whether the job could be cancelled when it was shown.
        target: the target of the restore (`project/cluster`), or None for a download.
        link_is_live: whether the download link existed; not compared.
        expires_at: when the link expires, or None; not compared.
    """

    delivery_type: str
    snapshot_id: str
    snapshot_time: datetime | None
    cancellable: bool
    target: str | None = None
    link_is_live: bool = False
    expires_at: datetime | None = None

    @classmethod
    def of(cls, job: RestoreJob) -> "JobFingerprint":
        """Return the fingerprint of a job."""
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
        """Whether `job` is what was shown; a link that became live is not a change."""
        return self.compared == JobFingerprint.of(job).compared

    @property
    def compared(self) -> tuple[object, ...]:
        """The fields that must not change; the job's id is part of the request itself."""
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
    """One person's approval."""

    user: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a request ended, for people and in Atlas's terms.

    Attributes:
        sentence: what happened, and what to do now.
        status: the HTTP status of Atlas's last answer, if there was one.
        code: Atlas's `errorCode`, if it gave one.
        by: the user id of the person who ended it, or None for the bot.
    """

    sentence: str = ""
    status: int | None = None
    code: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAttempts:
    """What is known about the DELETEs of a request.

    Attributes:
        count: how many were started.
        accepted: whether Atlas accepted one (2xx).
        unknown: whether the answer to one is missing, so that it may have taken effect.
    """

    count: int = 0
    accepted: bool = False
    unknown: bool = False

    @property
    def may_have_taken_effect(self) -> bool:
        return self.accepted or self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The message in Slack that shows a request."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to cancel one restore job, as the database has it now.

    Attributes:
        id: the request's id, which is the value of its buttons.
        requester: the user id of the person who asked; empty for the bot's own request.
        key: the idempotency key (the view's id): a second delivery gives the same request.
        channel: the channel of the card.
        asked_in: the channel in which the command was typed.
        approvals_needed: how many other people must approve.
        expires_at: until when it may be approved or retried.
        changed_at: when the state was entered.
        sent: what is known about its DELETEs.
        acted_alone: whether the requester broke the glass: it was asked to run without approval.
        reviewed_by: the user id of the approver who reviewed that, or None.
        reviewed_at: when, or None.
        next_notice_at: when its approvers are told next; not later than `changed_at`: for the
            first time. None: not any more.
        grace_ends_at: until when the bot's own request can be kept; None before its card is seen.
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
    voided: tuple[str, ...] = ()
    sent: DeleteAttempts = DeleteAttempts()
    outcome: Outcome = Outcome()
    card: Card | None = None
    moved_because: str | None = None
    acted_alone: bool = False
    reviewed_by: str | None = None
    reviewed_at: datetime | None = None
    next_notice_at: datetime | None = None
    grace_ends_at: datetime | None = None

    @property
    def by_bot(self) -> bool:
        """Whether it is the bot's own request, by quarantine."""
        return not self.requester

    @property
    def approved_by(self) -> frozenset[str]:
        return frozenset(approval.user for approval in self.approvals)

    @property
    def runs_alone(self) -> bool:
        """Whether it still runs without approval; a lost right or a retry may require approvals."""
        return self.acted_alone and self.approvals_needed == 0

    @property
    def unreviewed(self) -> bool:
        return self.acted_alone and self.reviewed_by is None

    @property
    def approvals_missing(self) -> int:
        return max(0, self.approvals_needed - len(self.approvals))


class Step(StrEnum):
    """The next step of a run, after a GET."""

    SEND = "send"  #: send the DELETE
    WAIT = "wait"  #: Atlas accepted a DELETE; read again until the job reads cancelled
    CANCELLED = "cancelled"  #: settle as cancelled
    OVER = "over"  #: settle as over
    CHANGED = "changed"  #: settle as changed


def next_step(shown: JobFingerprint, sent: DeleteAttempts, job: RestoreJob) -> Step:
    """Decide from a fresh GET, and from nothing else.

    The order matters. A cancelled job counts as cancelled by this request only if one of its
    DELETEs may have taken effect, and not if it failed too: it may have ended by itself. A DELETE
    is sent only if this GET shows the job unchanged.
    """
    if job.cancelled and not job.failed:
        return Step.CANCELLED if sent.may_have_taken_effect else Step.OVER
    if job.is_over:
        return Step.OVER
    if not shown.matches(job):
        return Step.CHANGED
    return Step.WAIT if sent.accepted else Step.SEND
