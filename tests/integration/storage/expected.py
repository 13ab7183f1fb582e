"""What the design says about one download and its open request: the bookkeeping of the model.

It shares the people and the policies of the tests with the bot, and none of its rules.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.people import NO_ONE, ActingPerson
from bot.cancellation.request import State
from tests.support.domain import (
    ADA,
    ALAN,
    AUTO_CANCEL,
    EVE,
    GIL,
    RINA,
    START,
    restore_job,
    users,
)

PEOPLE = (RINA, ADA, ALAN, GIL, EVE)
AFTER = timedelta(seconds=90)
TTL = timedelta(minutes=30)
TWO_APPROVALS = replace(AUTO_CANCEL, approvals=2)
#: The settings with which a process may start.
POLICIES = {
    "two approvals": TWO_APPROVALS,
    "one approval": replace(TWO_APPROVALS, approvals=1),
    "no approval": replace(TWO_APPROVALS, approvals=0),
    "no auto-cancel": replace(TWO_APPROVALS, auto_cancel_after=None),
    "Ada left": replace(TWO_APPROVALS, approvers=users("U0ALAN")),
    "Rina left": replace(TWO_APPROVALS, requesters=NO_ONE),
    "read-only": replace(TWO_APPROVALS, read_only=True),
}


@dataclass(eq=False)
class OpenRequest:
    """The open request about a download."""

    requester: str | None
    needed: int
    expires_at: datetime
    state: State
    approved: set[str] = field(default_factory=set)
    is_alone: bool = False
    is_automatic: bool = False
    deletes: int = 0  #: those that may have taken effect
    accepted_at: datetime | None = None  #: when the last one was accepted

    @property
    def is_waiting(self) -> bool:
        return self.state is State.AWAITING

    def accepted_within_a_minute(self, now: datetime) -> bool:
        return self.accepted_at is not None and now - self.accepted_at < timedelta(minutes=1)


@dataclass(eq=False)
class Expected:
    """A download in Atlas, and what must be stored about it."""

    ref: JobRef
    policy_name: str
    flags: dict[str, Any] = field(default_factory=dict)  #: what Atlas says of the job
    opened: OpenRequest | None = None
    stored_time: datetime | None = None  #: of auto-cancel, until it is used or ended
    had_time: bool = False
    bot_saw_end: bool = False
    #: The submits that made requests, by their keys.
    submits: dict[str, tuple[ActingPerson, bool]] = field(default_factory=dict)
    ends: list[State] = field(default_factory=list)  #: of requests, oldest first

    def read(self) -> RestoreJob:
        return restore_job(self.ref, **self.flags)

    @property
    def policy(self) -> Any:
        return POLICIES[self.policy_name]

    @property
    def has_ended(self) -> bool:
        return bool(self.flags.keys() & {"cancelled", "failed"})

    @property
    def time(self) -> datetime | None:
        """The auto-cancel time, where it stands."""
        stands = self.policy.auto_cancel_after and not self.policy.read_only
        return self.stored_time if stands and not self.bot_saw_end else None

    def is_approver(self, user: str) -> bool:
        return user in self.policy.approvers.users

    def may_ask(self, user: str) -> bool:
        return user in self.policy.requesters.users or user == GIL.id or self.is_approver(user)

    def needed(self, user: str) -> int:
        if self.policy.approvals and self.time:
            return 0 if self.is_approver(user) else 1
        return int(self.policy.approvals)

    # What the bot reads.

    def listed(self, now: datetime) -> None:
        is_new = self.ref.started_at > START
        cancels = self.policy.auto_cancel_after and not self.policy.read_only
        was_decided = self.had_time or State.DENIED in self.ends or self.has_ended
        if is_new and cancels and not was_decided:
            self.stored_time, self.had_time = now + AFTER, True
        self.bot_saw_end = self.has_ended

    def replaced(self, policy_name: str, now: datetime) -> None:
        self.policy_name, request = policy_name, self.opened
        if request and self.policy.read_only:
            self.end(State.WITHDRAWN)
        elif request and request.is_waiting and request.expires_at > now and not self.bot_saw_end:
            wanted = int(self.policy.approvals)
            request.needed = min(1, wanted) if self.time else wanted
            if len(request.approved) >= request.needed:
                request.state = State.APPROVED

    def deadlines(self, now: datetime) -> None:
        opened = self.opened
        if opened and opened.is_waiting and self.bot_saw_end:
            self.end(self.end_of_download(opened))
        elif opened and opened.is_waiting and opened.expires_at <= now:
            self.end(State.EXPIRED)
        if self.time is None or self.time > now:
            return
        if self.opened is None:
            self.opened = OpenRequest(None, 0, now + TTL, State.APPROVED, is_automatic=True)
        elif self.opened.is_waiting:
            self.opened.state, self.opened.is_automatic = State.APPROVED, True
        else:
            return
        self.stored_time = None

    def end_of_download(self, opened: OpenRequest) -> State:
        is_ours = "cancelled" in self.flags and "failed" not in self.flags and opened.deletes
        return State.CANCELLED if is_ours else State.OVER

    # What people do: the expected result, or the name of the refusal.

    def submit(self, person: ActingPerson, key: str, now: datetime, *, alone: bool) -> str:
        alone = alone and self.policy.approvals > 0
        if refusal := self._submit_refusal(person, now, alone=alone):
            return refusal
        self.bot_saw_end = self.has_ended  # the submit has what the dialog read
        return self._submit(person, key, now, alone=alone)

    def _submit_refusal(self, person: ActingPerson, now: datetime, *, alone: bool) -> str | None:
        if self.policy.read_only:
            return "ReadOnly"
        if not self.may_ask(person.id):
            return "MayNotAsk"
        if alone and person is not GIL:
            return "MayNotActAlone"
        if self.has_ended and self.opened is None:
            return "CannotCancel"
        would_start = self.opened and self.opened.is_waiting and not self.policy.approvals
        would_approve = self.opened and not alone and self._may_approve(self.opened, person)
        if self.opened and would_approve and self.opened.expires_at <= now:
            return "NothingChanged"
        return "DownloadEnded" if self.has_ended and (would_start or would_approve) else None

    def _submit(self, person: ActingPerson, key: str, now: datetime, *, alone: bool) -> str:
        opened = self.opened
        if opened is None:
            needed = 0 if alone else self.needed(person.id)
            state = State.AWAITING if needed else State.APPROVED
            self.opened = OpenRequest(person.id, needed, now + TTL, state, is_alone=alone)
            self.submits[key] = person, alone
            return "created"
        if opened.is_waiting and alone:
            opened.state, opened.is_alone = State.APPROVED, True
            return "acted_alone"
        if self._may_approve(opened, person):
            self._approve(opened, person)
            return "approved"
        if opened.is_waiting and self.needed(person.id) == 0:
            opened.approved |= {person.id} - {str(opened.requester)}
            opened.state, opened.needed = State.APPROVED, 0
            return "started"
        return "joined"

    def _may_approve(self, opened: OpenRequest, person: ActingPerson) -> bool:
        is_other = person.id not in {opened.requester, *opened.approved}
        return opened.is_waiting and is_other and self.is_approver(person.id)

    def submit_again(self) -> None:
        """The same submit a second time changes nothing; its answer of Atlas is stored."""
        self.bot_saw_end = self.has_ended

    def approve(self, person: ActingPerson, now: datetime) -> str:
        opened = self.opened
        assert opened
        if opened.expires_at <= now:
            return "NothingChanged"
        if self.bot_saw_end:
            return "DownloadEnded"
        if not self.is_approver(person.id):
            return "ReadOnly" if self.policy.read_only else "MayNotApprove"
        if person.id == opened.requester:
            return "OwnRequest"
        if person.id in opened.approved and len(opened.approved) < opened.needed:
            return "AlreadyApproved"
        self._approve(opened, person)
        return str(opened.state)

    def _approve(self, opened: OpenRequest, person: ActingPerson) -> None:
        opened.approved.add(person.id)
        is_enough = self.needed(person.id) == 0 or len(opened.approved) >= opened.needed
        if is_enough:
            opened.needed = min(opened.needed, len(opened.approved))
            opened.state = State.APPROVED

    def let_run(self, person: ActingPerson) -> str:
        opened, time = self.opened, self.time
        is_own = opened is not None and opened.requester == person.id
        if self.bot_saw_end:
            return "DownloadEnded"
        if (opened and not opened.is_waiting) or not (opened or time):
            return "NothingChanged"
        if not (is_own or self.is_approver(person.id)):
            return "MayNotLetRun"
        if self.is_approver(person.id):
            self.stored_time = None
        if opened is None:
            return "let_run"
        self.end(State.WITHDRAWN if is_own else State.DENIED)
        return str(self.ends[-1])

    # What a run does.

    def may_delete(self, opened: OpenRequest) -> bool:
        """Whether today's policy allows the DELETE of a request that runs."""
        if opened.is_automatic or opened.is_alone:
            return True
        requester = str(opened.requester)
        given = sum(map(self.is_approver, opened.approved))
        is_enough = given >= max(opened.needed, self.needed(requester))
        return self.may_ask(requester) and (is_enough or (given > 0 and self.time is not None))

    def await_again(self, opened: OpenRequest, now: datetime) -> None:
        """Let the request wait; approvals of people without the right do not count any more."""
        wanted = max(opened.needed, self.needed(str(opened.requester)))
        opened.approved = set(filter(self.is_approver, opened.approved))
        opened.needed = 1 if opened.approved and self.time else wanted
        opened.state, opened.expires_at = State.AWAITING, max(opened.expires_at, now + TTL)

    def end(self, state: State) -> None:
        self.ends.append(state)
        self.opened = None
