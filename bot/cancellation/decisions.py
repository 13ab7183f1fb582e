"""The decisions about a download: what a submit, a click or a deadline does (pure).

The stores call these inside the transaction that writes the result.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.atlas import JobRef, RestoreJob
from bot.cancellation import errors
from bot.cancellation.download import Download, Fingerprint
from bot.cancellation.errors import CancellationError
from bot.cancellation.people import Person, is_operator
from bot.cancellation.policy import Act, Policy, may, refusal
from bot.cancellation.request import Request, State
from bot.cancellation.starter import FEED_DELAY

#: Letters and symbols that are drawn as nothing: Hangul fillers and the empty Braille pattern.
BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")

#: A read of the feed that is late comes within this time.
NEXT_READ = timedelta(seconds=10)


def is_blank(text: str) -> bool:
    """Whether a text has only separators, controls, marks and fillers."""
    letters = (letter for letter in text if letter not in BLANK_LETTERS)
    return all(unicodedata.category(letter)[0] in {"C", "M", "Z"} for letter in letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a person submits: the dialog, or `cancel` at the command line."""

    key: str  #: the dialog's view id, or one that the command line makes
    ref: JobRef
    job: RestoreJob  #: as the person was shown it
    read_at: datetime  #: when that read began
    reason: str = ""
    alone: bool = False  #: whether the person asks to cancel without approval
    asked_in: str | None = None  #: the channel of the command
    channel: str | None = None  #: for the message, where the policy names none

    @property
    def shown(self) -> Fingerprint:
        return Fingerprint.of(self.job)


class SubmitResult(StrEnum):
    """What a submit does."""

    CREATED = "created"  #: a request
    JOINED = "joined"  #: nothing: a request is open, and the person is told who asked and where
    APPROVED = "approved"  #: an approval of the open request
    STARTED = "started"  #: the open request becomes approved: this person needs no approval now
    ACTED_ALONE = "acted_alone"  #: the open request becomes approved


def approvals_needed(policy: Policy, download: Download, person: Person | None = None) -> int:
    """Return how many other people must approve what this person asks now, or what waits already.

    While an auto-cancel time stands, one decision of somebody who may approve is enough. Where none
    is needed, a submit also starts a request that waits since the policy wanted more.
    """
    if policy.approvals == 0 or download.auto_cancel(policy) is None:
        return policy.approvals
    return 0 if person and person in policy.approvers else 1


def submit(
    policy: Policy,
    download: Download,
    request: Request | None,
    person: Person,
    submission: Submission,
) -> SubmitResult:
    """Return what a submit does; `request` is the open one. Raises `CancellationError`."""
    if error := _submit_refusal(policy, person, submission):
        raise error
    if request is None:
        if download.ended or not submission.job.can_be_cancelled:
            raise errors.CannotCancel
        return SubmitResult.CREATED
    if request.state is not State.AWAITING:
        return SubmitResult.JOINED
    if submission.alone and policy.approvals > 0:
        return SubmitResult.ACTED_ALONE
    if may(policy, Act.APPROVE, person, request.requester) and not _has_approved(request, person):
        return SubmitResult.APPROVED
    if approvals_needed(policy, download, person):
        return SubmitResult.JOINED
    if download.ended:
        raise errors.DownloadEnded(request)
    return SubmitResult.STARTED


def _submit_refusal(
    policy: Policy, person: Person, submission: Submission
) -> CancellationError | None:
    acts_alone = submission.alone and policy.approvals > 0
    needs_reason = policy.require_reason or acts_alone
    return (
        refusal(policy, Act.ASK, person)
        or (refusal(policy, Act.ACT_ALONE, person) if acts_alone else None)
        or (errors.ReasonMissing() if needs_reason and is_blank(submission.reason) else None)
    )


def _has_approved(request: Request, person: Person) -> bool:
    return person.id in request.approved_by


def approve(
    policy: Policy, download: Download, request: Request, person: Person, *, now: datetime
) -> bool:
    """Return whether this approval completes the number. Raises `CancellationError`."""
    if request.state is not State.AWAITING:
        raise errors.NothingChanged(request)
    if now >= request.expires_at:  # the deadline may not have acted yet
        expired = replace(request, state=State.EXPIRED, changed_at=request.expires_at)
        raise errors.NothingChanged(expired)
    if download.ended:
        raise errors.DownloadEnded(request)
    if error := refusal(policy, Act.APPROVE, person, request.requester):
        raise error
    if _has_approved(request, person):
        raise errors.AlreadyApproved(policy.approvers.without(person.id))
    return approvals_needed(policy, download, person) == 0 or request.missing <= 1


class LetRunResult(StrEnum):
    """What a click on *Let it run* does."""

    WITHDRAWN = "withdrawn"  #: the requester withdraws the request
    DENIED = "denied"  #: an approver ends the request
    LET_RUN = "let_run"  #: it ends the auto-cancel time, and no request is open


@dataclass(frozen=True, slots=True)
class LetRunDecision:
    result: LetRunResult
    ends_auto_cancel: bool  #: whether it is recorded as `download:let_run` too


def let_run(
    policy: Policy,
    download: Download,
    request: Request | None,
    person: Person,
    *,
    now: datetime,
    reason: str = "",
    feed_is_readable: bool = True,
) -> LetRunDecision:
    """Return what *Let it run* does; `request` is the open one. Raises `CancellationError`.

    Where the feed cannot be read, only the starters that it named before are refused. Where Slack
    does not tell the e-mail address, only the right is checked. The requester needs no `reason`.
    A stored time ends also where today's policy has no auto-cancel: a later one may have it again.
    """
    if download.ended:
        raise errors.DownloadEnded(request)
    if request is not None and request.state is not State.AWAITING:
        raise errors.NothingChanged(request)
    has_time = download.auto_cancel(policy) is not None
    if request is None and not has_time:
        raise errors.NothingChanged(None, download.let_run)
    requester = request.requester if request else None
    if error := refusal(policy, Act.LET_RUN, person, requester):
        raise error
    is_own = request is not None and person.id == requester
    ends_auto_cancel = download.open_time is not None and may(policy, Act.LET_RUN, person)
    if ends_auto_cancel and (why := _starter_refusal(download, person, now, feed_is_readable)):
        if has_time and not (is_own and isinstance(why, errors.MayBeStarter)):
            raise why
        ends_auto_cancel = False  # the starter may still withdraw an own request
    if not is_own and is_blank(reason):
        raise errors.ReasonMissing
    result = LetRunResult.DENIED if request else LetRunResult.LET_RUN
    return LetRunDecision(LetRunResult.WITHDRAWN if is_own else result, ends_auto_cancel)


def _starter_refusal(
    download: Download,
    person: Person,
    now: datetime,
    feed_is_readable: bool,
) -> CancellationError | None:
    """Return why a person may not end an auto-cancel: the starter may not."""
    if person.email is None:
        return None
    if feed_is_readable and not download.starters.covers(download.started_at):
        return errors.TooEarly(max(download.started_at + FEED_DELAY, now + NEXT_READ))
    return errors.MayBeStarter() if download.starters.may_include(person.email) else None


class AutoCancelStep(StrEnum):
    """What happens to a download whose auto-cancel time has come."""

    WAIT = "wait"  #: a request runs already, or the time has not come
    APPROVE = "approve"  #: the open request becomes approved
    CREATE = "create"  #: the bot makes a request, approved


def auto_cancel(
    policy: Policy,
    download: Download,
    request: Request | None,
    now: datetime,
) -> AutoCancelStep:
    """Return what the deadline of an auto-cancel does; `request` is the open one."""
    is_running = request is not None and request.state is not State.AWAITING
    if is_running or not download.is_due(policy, now):
        return AutoCancelStep.WAIT
    return AutoCancelStep.APPROVE if request else AutoCancelStep.CREATE


def state_at_start(
    policy: Policy, download: Download, request: Request, now: datetime
) -> tuple[State, int]:
    """Return the state of an open request by the policy of a start, and the approvals it needs.

    It ends where the project is read-only now. One that waits is approved where it has the
    approvals that this policy wants.
    """
    if policy.read_only:
        return State.WITHDRAWN, request.needed
    if request.state is not State.AWAITING or request.expires_at <= now or download.ended:
        return request.state, request.needed
    needed = approvals_needed(policy, download)
    is_enough = len(request.approved_by) >= needed
    return State.APPROVED if is_enough else State.AWAITING, needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What today's policy and members say about a request, right before its DELETE."""

    is_read_only: bool = False
    has_lost_right: bool = False  #: whether the requester may not ask any more
    voided: frozenset[str] = frozenset()  #: approvers whose approval does not count any more
    needed: int = 0
    missing: int = 0

    @property
    def allows_delete(self) -> bool:
        return not (self.is_read_only or self.has_lost_right or self.missing)


def people_to_judge(request: Request) -> frozenset[str]:
    """Return the user ids whose rights are checked before the DELETE.

    Only who acted alone, where somebody did; nobody, for what auto-cancel or the command line
    approved.
    """
    if _needs_nobody(request):
        return frozenset()
    if request.alone:
        return frozenset({request.alone})
    return request.approved_by | frozenset(filter(None, [request.requester]))


def _needs_nobody(request: Request) -> bool:
    """Whether auto-cancel or the command line approved it."""
    deciders = {request.alone, request.requester, *request.approved_by}
    return request.is_automatic or any(map(is_operator, deciders))


def judge(
    policy: Policy, download: Download, request: Request, people: Mapping[str, Person]
) -> Judgement:
    """Judge a request by today's policy and today's `people`, those of `people_to_judge`."""
    if policy.read_only:
        return Judgement(is_read_only=True)
    if _needs_nobody(request):
        return Judgement()
    if request.alone:
        return _judge_alone(policy, download, request, people[request.alone])
    requester = people[request.requester or ""]
    voided = frozenset(
        user
        for user in request.approved_by
        if not may(policy, Act.APPROVE, people[user], request.requester)
    )
    needed = max(request.needed, approvals_needed(policy, download, requester))
    given = len(request.approved_by - voided)
    if given and download.auto_cancel(policy) is not None:
        needed = min(needed, 1)
    return Judgement(
        has_lost_right=not may(policy, Act.ASK, requester),
        voided=voided,
        needed=needed,
        missing=max(0, needed - given),
    )


def _judge_alone(policy: Policy, download: Download, request: Request, person: Person) -> Judgement:
    """Judge a request on which a person acted alone; that of another person waits on."""
    if may(policy, Act.ASK, person) and may(policy, Act.ACT_ALONE, person):
        return Judgement()
    if person.id == request.requester:
        return Judgement(has_lost_right=True)
    needed = max(request.needed, approvals_needed(policy, download))
    given = len(request.approved_by - {person.id})
    return Judgement(voided=frozenset({person.id}), needed=needed, missing=needed - given)


def judge_without_slack(policy: Policy, download: Download, request: Request) -> Judgement:
    """Judge a request while Slack does not answer: its people count as they did at the decision."""
    if policy.read_only or request.alone or download.auto_cancel(policy) is not None:
        return Judgement(is_read_only=policy.read_only)
    needed = max(request.needed, approvals_needed(policy, download))
    return Judgement(needed=needed, missing=max(0, needed - len(request.approved_by)))
