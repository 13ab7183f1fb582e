"""The desk: what a person can ask of the domain, one method each. Listeners call only this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bot.cancellation import policy as rules
from bot.cancellation.errors import DenialUnexplained, NotCancellableNow, UnknownProject
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.request_context import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.errors import NotAllowed
    from bot.cancellation.lifecycle import JobFingerprint
    from bot.cancellation.policy import Person, Policy
    from bot.cancellation.projects import Project, Projects
    from bot.services.job_search import JobFinder
    from bot.storage.history import History
    from bot.storage.request_store import RequestStore


class Runs(Protocol):
    """Takes an approved request to its end, in its own time."""

    def start(self, request_id: str, unsent: JobRef | None = None) -> None:
        """Begin now, or let somebody else who holds it finish.

        Args:
            request_id: which.
            unsent: its job, where it is known that no DELETE was ever sent.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """What the dialog shows: the job as Atlas has it, and the open request for it, if any."""

    ref: JobRef
    project_name: str
    job: RestoreJob
    open_request: Request | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A dialog that was submitted.

    Attributes:
        key: what makes a second delivery the same request (the view's id).
        asked_in: the channel in which the command was typed.
        channel: the channel in which the card is to stand.
        moved_because: why that is not the channel of the command, as a sentence.
        shown: the job as the dialog showed it.
        typed: what was typed to confirm, where the policy wants it.
        approver_members: the user ids of everybody in the approving groups.
        request_id: the id that the request is to have, where its dialog had one.
    """

    key: str
    person: Person
    ref: JobRef
    project_name: str
    asked_in: str
    channel: str
    shown: JobFingerprint
    reason: str = ""
    typed: str = ""
    moved_because: str | None = None
    approver_members: frozenset[str] = frozenset()
    request_id: str | None = None


class CancellationService:
    """Checks the rules, writes the ledger, and starts what is ready to run."""

    def __init__(
        self,
        ledger: RequestStore,
        projects: Projects,
        runs: Runs,
        *,
        finder: JobFinder,
        history: History,
        now: Callable[[], datetime],
        new_id: Callable[[], str] = new_request_id,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._now = now
        self._new_id = new_id
        self._told = told
        self.projects = projects
        self.finder = finder
        self.history = history

    def policy_of(self, project_id: str) -> Policy | None:
        """Return the rules of a project, or None when the bot does not know it (any more)."""
        project = self.projects.find(project_id)
        return project.policy if project else None

    async def look_up(self, ref: JobRef, *, patience: float) -> JobDetails:
        """Read the job as Atlas has it now, and whether somebody has asked already.

        Raises:
            UnknownProject: the bot has no key for it.
            AtlasError: Atlas refused, or did not answer in `patience` seconds.
            LedgerError: the database did not answer.
        """
        project = self._project(ref.project_id)
        job = await project.atlas.restore_job(ref, timeout=patience)
        return JobDetails(
            ref=ref,
            project_name=project.name,
            job=job,
            open_request=await self._ledger.open_request_for(ref),
        )

    async def request(self, request_id: str) -> Request:
        """Read a request; raises `NoSuchRequest`."""
        return await self._ledger.request(request_id)

    async def submit(self, submission: Submission) -> Request:
        """Write the request down and start it; the same key gives the same request.

        Raises:
            NotAllowed: the policy says no.
            JobTaken: another request for this job is open.
            NotRecorded: the ledger did not take it; nothing was done.
            MaybeRecorded: the ledger did not say.
        """
        project = self._project(submission.ref.project_id)
        _allowed(refusal_of(project.policy, submission))
        request_id = submission.request_id or self._new_id()
        request = new_request(project, submission, request_id, self._now())
        return self._started(await self._ledger.create(request, submission.person))

    async def approve(self, request_id: str, person: Person) -> Request:
        """Count one person's yes.

        Raises:
            NotAllowed: the policy says no.
            Overtaken: somebody or something else was first.
            NoSuchRequest: it is not in the ledger.
            LedgerError: the database did not take it.
        """

        def check(request: Request) -> NotAllowed | None:
            policy = self._project(request.ref.project_id).policy
            return rules.may_decide(policy, request.requester, person) or rules.counts_again(
                request.approved_by, person, policy.approvers
            )

        return self._started(await self._ledger.approve(request_id, person, check))

    async def deny(self, request_id: str, person: Person, reason: str) -> Request:
        """End a waiting request by an approver's no; raises as `approve` does."""

        def check(request: Request) -> NotAllowed | None:
            policy = self._project(request.ref.project_id).policy
            refusal = rules.may_deny(policy, request.requester, person)
            return refusal or (None if rules.says_something(reason) else DenialUnexplained())

        return self._started(await self._ledger.deny(request_id, person, reason, check))

    async def withdraw(self, request_id: str, person: Person) -> Request:
        """Take a waiting request back; raises as `approve` does."""

        def check(request: Request) -> NotAllowed | None:
            return rules.may_withdraw(request.requester, person, request.team)

        return self._started(await self._ledger.withdraw(request_id, person, check))

    async def retry(self, request_id: str, person: Person) -> Request:
        """Let a failed request run again; raises as `approve` does, and `JobTaken`."""

        def check(request: Request) -> NotAllowed | None:
            return rules.may_retry(self._project(request.ref.project_id).policy, person)

        return self._started(await self._ledger.retry(request_id, person, check))

    def _project(self, project_id: str) -> Project:
        if project := self.projects.find(project_id):
            return project
        raise UnknownProject

    def _started(self, request: Request) -> Request:
        """Start what may run, and let Slack know at once of what was written."""
        if request.state is State.APPROVED:
            self._runs.start(request.id, None if request.sent.count else request.ref)
        self._told()
        return request


def refusal_of(policy: Policy, submission: Submission) -> NotAllowed | None:
    """Judge a submission: the person, what was shown, and what was typed (pure)."""
    return (
        rules.may_ask(policy, submission.person)
        or (None if submission.shown.cancellable else NotCancellableNow())
        or rules.check_reason(policy, submission.reason)
        or rules.check_typed(policy, submission.ref.cluster_name, submission.typed)
        or rules.can_be_approved(policy, submission.person.id, submission.approver_members)
    )


def new_request(
    project: Project, submission: Submission, request_id: str, now: datetime
) -> Request:
    """Make the request that a submission asks for (pure)."""
    approvals = project.policy.approvals
    return Request(
        id=request_id,
        key=submission.key,
        state=State.AWAITING if approvals else State.APPROVED,
        ref=submission.ref,
        project_name=submission.project_name,
        team=submission.person.team,
        requester=submission.person.id,
        asked_in=submission.asked_in,
        channel=submission.channel,
        moved_because=submission.moved_because,
        reason=submission.reason.strip(),
        shown=submission.shown,
        approvals_needed=approvals,
        created_at=now,
        changed_at=now,
        expires_at=now + project.policy.approval_ttl,
    )


def _allowed(refusal: NotAllowed | None) -> None:
    if refusal:
        raise refusal
