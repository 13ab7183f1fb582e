"""A request: one open decision about one download, and the states it goes through (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.atlas import JobRef
from bot.cancellation.download import Fingerprint


class State(StrEnum):
    """The states of section 6 of the design."""

    AWAITING = "awaiting"  #: waits for approvals
    APPROVED = "approved"  #: will run
    CANCELLING = "cancelling"  #: runs
    CANCELLED = "cancelled"  #: Atlas's read-back shows the job cancelled
    OVER = "over"  #: the download ended by other means
    REFUSED = "refused"  #: Atlas rejected the DELETE
    CHANGED = "changed"  #: the job is not the one that was shown
    FAILED = "failed"  #: not settled when the tries ended; a person must look
    DENIED = "denied"  #: an approver lets the download run
    WITHDRAWN = "withdrawn"  #: the requester, or a lost right, ended it
    EXPIRED = "expired"  #: nobody decided in time

    @property
    def has_ended(self) -> bool:
        return self not in OPEN


#: The states that block a second request for the same download.
OPEN = frozenset({State.AWAITING, State.APPROVED, State.CANCELLING})
#: The states in which the bot works on it: after a restart it continues with these.
RUNNING = frozenset({State.APPROVED, State.CANCELLING})
_RUN_ENDS = frozenset({State.CANCELLED, State.OVER, State.REFUSED, State.CHANGED, State.FAILED})
_DECIDED = frozenset({State.APPROVED, State.DENIED, State.WITHDRAWN, State.EXPIRED, State.OVER})
#: Every transition that the stores make; a test walks through them.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.AWAITING: _DECIDED | {State.CANCELLED},  # the last: an earlier run sent a DELETE
    State.APPROVED: frozenset({State.CANCELLING, State.WITHDRAWN, State.OVER}),
    State.CANCELLING: _RUN_ENDS | {State.AWAITING, State.WITHDRAWN},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The approval of one person; a voided one does not count any more."""

    user: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What is known about the DELETEs of a request."""

    count: int = 0  #: how many were recorded before they were sent
    accepted_at: datetime | None = None  #: when Atlas last accepted one (2xx)
    is_unknown: bool = False  #: whether the answer to one is missing, so that it may have effect

    @property
    def may_have_taken_effect(self) -> bool:
        return self.accepted_at is not None or self.is_unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Why a request is in its state, as data: the renderers make the sentences."""

    by: str | None = None  #: the user id of the person who ended it; None: the bot
    reason: str = ""  #: that this person gave
    status: int | None = None  #: the HTTP status of Atlas's last answer, if there was one
    code: str | None = None  #: Atlas's `errorCode`, if it gave one
    error: str = ""  #: Atlas's last error, as a sentence
    changes: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    lost_right: bool = False  #: whether the requester had no right to ask any more
    is_read_only: bool = False  #: whether the project is read-only now


@dataclass(frozen=True, slots=True)
class Ending:
    """The state in which a run ends, and why."""

    state: State
    outcome: Outcome = Outcome()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, as the database has it now."""

    id: str  #: 32 hex digits; in the values of its buttons
    key: str  #: what made it (the dialog's view id): a second delivery gives the same request
    ref: JobRef
    state: State
    requester: str | None  #: a Slack user id or `cli:name`; None: auto-cancel made it
    team: str  #: the requester's workspace
    reason: str
    shown: Fingerprint  #: what the requester was shown
    needed: int  #: how many other people must approve
    created_at: datetime
    changed_at: datetime  #: when it entered its state; while it runs, when it was approved
    expires_at: datetime  #: until when it waits
    asked_in: str | None = None  #: the channel of the command
    approvals: tuple[Approval, ...] = ()  #: those that count, oldest first
    alone: str | None = None  #: who acted alone, so that no approval is needed
    is_automatic: bool = False  #: whether auto-cancel approved it
    reminded_at: datetime | None = None
    run_started_at: datetime | None = None  #: stored, so that a restart does not begin again
    attempts: Attempts = Attempts()
    trouble: str = ""  #: what a run that goes on is waiting for, as a sentence; empty: nothing
    outcome: Outcome = Outcome()

    @property
    def is_open(self) -> bool:
        return not self.state.has_ended

    @property
    def approved_by(self) -> frozenset[str]:
        return frozenset(approval.user for approval in self.approvals)

    @property
    def missing(self) -> int:
        """How many approvals a request that waits still misses."""
        return max(0, self.needed - len(self.approvals))
