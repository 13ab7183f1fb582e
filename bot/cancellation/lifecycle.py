"""The life cycle of a request: states, and the next step of a run (pure)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.atlas import JobRef, RestoreJob


class State(StrEnum):
    AWAITING = "awaiting"  #: waits for approvals
    APPROVED = "approved"  #: ready to run, not claimed yet
    CANCELLING = "cancelling"  #: claimed by a runner with a lease
    CANCELLED = "cancelled"  #: Atlas's read-back shows the job cancelled
    OVER = "over"  #: the job ended by other means, or a request that runs at once replaces this one
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


#: The states that block a second request for the same job.
OPEN = frozenset({State.AWAITING, State.APPROVED, State.CANCELLING, State.QUARANTINED})
#: The states in which people decide.
UNDECIDED = frozenset({State.AWAITING, State.QUARANTINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFingerprint:
    """The job as it was shown: the compared fields, and what the card repeats.

    A link that became live, or was used, is not a change.
    """

    delivery_type: str  #: `download`, `automated` or `pointInTime`
    snapshot_id: str  #: 24 hex digits
    snapshot_time: datetime | None  #: when the snapshot was taken, or None if Atlas gave no time
    cancellable: bool  #: whether the job could be cancelled when it was shown
    target: str | None = None  #: of the restore (`project/cluster`); None for a download
    link_is_live: bool = field(default=False, compare=False)  #: whether there was a link to use
    expires_at: datetime | None = field(default=None, compare=False)  #: of the link, used or not

    @classmethod
    def of(cls, job: RestoreJob) -> "JobFingerprint":
        target = f"{job.target_project_id or '?'}/{job.target_cluster_name or '?'}"
        return cls(
            delivery_type=str(job.delivery_type),
            snapshot_id=job.snapshot_id,
            snapshot_time=job.snapshot_time,
            cancellable=job.can_be_cancelled,
            target=target if job.target_cluster_name or job.target_project_id else None,
            link_is_live=job.link_is_live,
            expires_at=job.link_expires_at,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, with times in ISO 8601."""
        values = asdict(self).items()
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values}

    @property
    def link_existed(self) -> bool:
        """Whether the download link existed, also if it was used since."""
        return self.link_is_live or self.expires_at is not None

    @property
    def link_was_used(self) -> bool:
        """Whether the download link was used or withdrawn: only its time was left."""
        return self.link_existed and not self.link_is_live


#: The audit fields of a job, by its attributes.
JOB_FIELDS = {"project_id": "project", "cluster_name": "cluster", "job_id": "job"}
#: The metadata of a text that a person typed: recorded without secrets, and not logged.
TYPED = {"typed": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What was asked, in the dialog or at the command line: to cancel a job, and why.

    Beside the job, each field is a text with a column and an audit field of the same name. A typed
    one is an input of the dialog with the same block id.
    """

    ref: JobRef
    shown: JobFingerprint
    asked_in: str  #: the channel in which the command was typed
    reason: str = field(default="", metadata=TYPED)

    def with_typed(self, change: Callable[[str], str]) -> "Ask":
        """Return it with `change` applied to each text that a person typed."""
        typed: dict[str, Any] = {name: change(getattr(self, name)) for name in TYPED_TEXTS}
        return replace(self, **typed)

    def to_detail(self) -> dict[str, Any]:
        """Return its audit fields, as JSON values."""
        job = {name: getattr(self.ref, attribute) for attribute, name in JOB_FIELDS.items()}
        texts = {name: getattr(self, name) for name in ASKED_TEXTS}
        return job | texts | {"shown": self.shown.to_json()}


#: The fields of `Ask` beside the job, and those of them that a person typed.
ASKED_TEXTS = tuple(each.name for each in fields(Ask) if each.name not in {"ref", "shown"})
TYPED_TEXTS = tuple(each.name for each in fields(Ask) if "typed" in each.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    user: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a request ended, for people and in Atlas's terms."""

    sentence: str = ""  #: what happened, and what to do now
    status: int | None = None  #: the HTTP status of Atlas's last answer, if there was one
    code: str | None = None  #: Atlas's `errorCode`, if it gave one
    by: str | None = None  #: the user id of the person who ended it, or None for the bot
    tries_again: bool = False  #: whether it has not ended: Atlas failed, and the bot tries again


@dataclass(frozen=True, slots=True)
class Ending:
    """The next state of a request whose run, or whose grace time, is over."""

    state: State
    outcome: Outcome = Outcome()

    @classmethod
    def explained(cls, state: State, sentence: str) -> "Ending":
        return cls(state, Outcome(sentence=sentence))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAttempts:
    """What is known about the DELETEs of a request."""

    count: int = 0  #: how many were started
    accepted: bool = False  #: whether Atlas accepted one (2xx)
    unknown: bool = False  #: whether the answer to one is missing, so that it may have taken effect

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
    """A request to cancel one restore job, as the database has it now."""

    id: str  #: also the value of its buttons
    key: str  #: the idempotency key (the view's id): a second delivery gives the same request
    state: State
    ask: Ask
    project_name: str
    team: str
    requester: str  #: the user id of the person who asked; empty for the bot's own request
    channel: str  #: the channel of the card
    approvals_needed: int  #: how many other people must approve
    created_at: datetime
    changed_at: datetime  #: when the state was entered
    expires_at: datetime  #: until when it may be approved or retried
    approvals: tuple[Approval, ...] = ()
    voided: tuple[str, ...] = ()
    sent: DeleteAttempts = DeleteAttempts()
    outcome: Outcome = Outcome()
    card: Card | None = None
    moved_because: str | None = None
    acted_alone: bool = False  #: whether the requester broke the glass: to run without approval
    reviewed_by: str | None = None  #: the user id of the approver who reviewed that
    reviewed_at: datetime | None = None
    #: The next notice to its approvers: the first one if up to `changed_at`; None: no more.
    next_notice_at: datetime | None = None
    #: Until when the bot's own request can be kept; None before its card is seen.
    grace_ends_at: datetime | None = None

    @property
    def ref(self) -> JobRef:
        return self.ask.ref

    @property
    def shown(self) -> JobFingerprint:
        return self.ask.shown

    @property
    def by_bot(self) -> bool:
        """Whether it is the bot's own request, by quarantine."""
        return not self.requester

    @property
    def was_replaced(self) -> bool:
        """Whether a person's request for the same job, which ran at once, ended it."""
        return self.state is State.OVER and self.outcome.by is not None

    @property
    def approved_by(self) -> frozenset[str]:
        return frozenset(approval.user for approval in self.approvals)

    @property
    def people(self) -> frozenset[str]:
        """The user ids of all who asked, decided or reviewed."""
        ids = {*self.approved_by, *self.voided, self.requester, self.outcome.by, self.reviewed_by}
        return frozenset(filter(None, ids))

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


def replaced_by(request: Request) -> Outcome:
    """Return the outcome of an undecided request for the same job, which `request` replaces."""
    how = "acted alone, without approval" if request.acted_alone else "asked to cancel the download"
    sentence = f"A person {how}: request {request.id} takes the place of this one."
    return Outcome(sentence=sentence, by=request.requester)


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
    is sent only if this GET shows the job unchanged; after one, a changed job may still end by it.
    """
    if job.cancelled and not job.failed:
        return Step.CANCELLED if sent.may_have_taken_effect else Step.OVER
    if job.is_over:
        return Step.OVER
    if shown != JobFingerprint.of(job):
        return Step.WAIT if sent.may_have_taken_effect else Step.CHANGED
    return Step.WAIT if sent.accepted else Step.SEND
