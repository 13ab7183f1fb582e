"""The use cases of a request: submit, approve, deny, keep, withdraw, retry, review, answer."""

from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from functools import partial

from bot.atlas import JobRef
from bot.cancellation import errors, judgement
from bot.cancellation import policy as rules
from bot.cancellation.errors import NotAllowed
from bot.cancellation.job import StarterAnswer
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Ask, Request, State
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Policy
from bot.cancellation.posts import recipients
from bot.log_config import id_of_new_request, without_secrets
from bot.services.jobs import Jobs
from bot.services.projects import Projects
from bot.services.rights import RightsCheck
from bot.services.runner import Runner
from bot.storage.request_store import Check, RequestStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    key: str  #: the idempotency key (the view's id): a second delivery gives the same request
    person: ActingPerson
    ask: Ask
    channel: str  #: the channel for the card
    typed: str = ""  #: the typed confirmation, where the policy requires it
    approver_members: frozenset[str] | None = frozenset()  #: of the groups; None: not known
    alone: bool = False  #: whether it is to run without the approvals that the policy requires


@dataclass(eq=False)
class CancellationService:
    """Checks the policy, records the request or the decision, and starts approved requests.

    Each method raises a `CancellationError` that says why not: `NotAllowed` by the policy, a
    `StateConflict` with the request as it is by now, or what could not be asked.
    """

    requests: RequestStore
    projects: Projects
    runner: Runner
    rights: RightsCheck
    _: KW_ONLY
    jobs: Jobs

    async def submit(self, submission: Submission) -> Request:
        """Record the request and start it if approved; the same key gives the same request."""
        policy, person = self.projects.policy(submission.ask.ref), submission.person
        if refusal := refusal_of(policy, submission):
            raise refusal
        name = self.projects.get(submission.ask.ref.project_id).name
        request = new_request(policy, name, submission, id_of_new_request(), self.requests.now())
        members = submission.approver_members or frozenset()
        # Without a channel the outbox sends them the card itself.
        notified = recipients(policy, person.id, members) if request.channel else ()
        return self._changed(await self.requests.create(request, person, notified))

    async def approve(self, request_id: str, person: ActingPerson) -> Request:
        """Record one approval; the requester and the earlier approvals are judged again."""
        people = await self.rights.people_of(await self.requests.get(request_id), person.id)
        # The requester, or an earlier approver, may click under another id.
        known = person.with_aliases(people[person.id].aliases)

        def judge(request: Request) -> Judgement:
            return judgement.judge(self.projects.policy(request.ref), request, people)

        def check(request: Request) -> NotAllowed | None:
            policy = self.projects.policy(request.ref)
            return (
                rules.may_decide(policy, request.requester, known)
                or rules.may_approve_once(policy, request, known)
                or judge(request).refusal
            )

        return self._changed(await self.requests.approve(request_id, person, check, judge))

    async def deny(self, request_id: str, person: ActingPerson, reason: str) -> Request:
        def check(request: Request) -> NotAllowed | None:
            refusal = rules.may_decide(self.projects.policy(request.ref), request.requester, person)
            return refusal or rules.check_text(reason, errors.DenialReasonMissing())

        return await self._decide(request_id, State.DENIED, person, check, reason)

    async def keep(
        self, request_id: str, person: ActingPerson, reason: str, email: str | None
    ) -> Request:
        """Let a quarantined download go on; `email` is the person's in Slack, if it is known."""
        ref = (await self.requests.get(request_id)).ref
        started_by = await self.jobs.starter_of(ref)

        def check(request: Request) -> NotAllowed | None:
            refusal = rules.may_keep(self.projects.policy(request.ref), person, started_by, email)
            return refusal or rules.check_text(reason, errors.KeepReasonMissing())

        return await self._decide(request_id, State.KEPT, person, check, reason)

    async def withdraw(self, request_id: str, person: ActingPerson) -> Request:
        check = partial(rules.may_withdraw, person=person)
        return await self._decide(request_id, State.WITHDRAWN, person, check)

    async def _decide(
        self, request_id: str, state: State, person: ActingPerson, check: Check, reason: str = ""
    ) -> Request:
        reason = without_secrets(reason)
        decided = await self.requests.decide(request_id, state, person, check, reason=reason)
        return self._changed(decided)

    async def retry(self, request_id: str, person: ActingPerson) -> Request:
        """Start a failed request again, or ask for its approvals again."""
        failed = await self.requests.get(request_id)
        people = await self.rights.people_of(failed)

        def check(request: Request) -> NotAllowed | None:
            policy = self.projects.policy(request.ref)
            refusal = rules.may_retry(policy, request, person)
            return refusal or judgement.judge(policy, request, people).refusal

        policy = self.projects.policy(failed.ref)
        needed = partial(judgement.approvals_of_retry, policy, person=people.get(person.id, person))
        ttl = policy.approval_ttl
        return self._changed(
            await self.requests.retry(request_id, person, check, needed_for=needed, ttl=ttl)
        )

    async def review(self, request_id: str, person: ActingPerson) -> Request:
        """Record that an approver reviewed what was done without approval."""
        people = await self.rights.people_of(await self.requests.get(request_id), person.id)
        known = person.with_aliases(people[person.id].aliases)

        def check(request: Request) -> NotAllowed | None:
            return rules.may_review(self.projects.policy(request.ref), request, known)

        return self._changed(await self.requests.review(request_id, person, check))

    async def answer(self, ref: JobRef, person: ActingPerson, answer: StarterAnswer) -> None:
        """Record what the starter of a download says; an enforced quarantine may end by it."""
        ending = partial(rules.ending_by, answer, self.projects.policy_or_none(ref))
        if request := await self.requests.answer(ref, person, answer, ending):
            self.runner.start(request.id)

    def _changed(self, request: Request) -> Request:
        """Start the request if it is approved."""
        if request.state is State.APPROVED:
            self.runner.start(request.id)
        return request


def refusal_of(policy: Policy, submission: Submission) -> NotAllowed | None:
    """Return why the policy refuses a submission: the person, the job or the input (pure)."""
    person, ask, alone = submission.person, submission.ask, acts_alone(policy, submission)
    members = submission.approver_members
    return (
        rules.may_cancel(policy)
        or rules.may_request(policy, person)
        or (None if ask.shown.cancellable else errors.NotCancellableNow())
        or (rules.may_act_alone(policy, person) if alone else None)
        or rules.check_reason(policy, ask.reason, alone=alone)
        or rules.check_typed_name(policy, ask.ref.cluster_name, submission.typed)
        or (None if alone else rules.check_enough_approvers(policy, person.id, members))
    )


def acts_alone(policy: Policy, submission: Submission) -> bool:
    """Whether a submission asks to run without approvals that the policy requires (pure)."""
    return submission.alone and policy.approvals > 0


def new_request(
    policy: Policy, project: str, submission: Submission, request_id: str, now: datetime
) -> Request:
    """Build the request for a submission (pure); `project` is the name."""
    alone = acts_alone(policy, submission)
    approvals = 0 if alone else policy.approvals
    return Request(
        id=request_id,
        key=submission.key,
        state=State.AWAITING if approvals else State.APPROVED,
        ask=submission.ask.with_typed(lambda text: without_secrets(text.strip())),
        project_name=project,
        team=submission.person.team,
        requester=submission.person.id,
        channel=submission.channel,
        approvals_needed=approvals,
        created_at=now,
        changed_at=now,
        expires_at=now + policy.approval_ttl,
        acted_alone=alone,
        next_notice_at=now if approvals else None,
    )
