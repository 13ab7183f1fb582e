"""Judges a request again by the current policy: before a DELETE and at a retry, too (pure)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.cancellation.errors import NotAllowed, RequesterLostRight
from bot.cancellation.lifecycle import Ending, Request, State
from bot.cancellation.people import Person
from bot.cancellation.policy import Policy, may_act_alone, may_cancel, may_decide, may_request
from bot.cancellation.quarantine import ending_before_delete
from bot.cancellation.starter import NOT_READ, StartedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the current policy says about a request and its stored approvals."""

    refusal: NotAllowed | None  #: why nothing may be cancelled, or the requester may not ask
    voided: frozenset[str]  #: the user ids of approvers who may not approve it any more
    approvals_needed: int  #: the higher of the request's stored number and the policy's current one
    approvals_missing: int  #: how many are missing without the voided ones
    instead: Ending | None = None  #: how the bot's own request goes on if it may not run, or None

    @property
    def allows_delete(self) -> bool:
        return self.refusal is None and self.approvals_missing == 0


def judge(
    policy: Policy, request: Request, people: Mapping[str, Person], started_by: StartedBy = NOT_READ
) -> Judgement:
    """Judge a request again by the current policy; `started_by` is for the bot's own request.

    `people` are the requester and the approvers as Slack has them now. An approval of anyone else
    was recorded after they were read, and so was judged a moment ago.
    """
    if request.by_bot:
        return _judge_own(policy, request, people, started_by)
    requester = people[request.requester]
    lost = may_request(policy, requester)
    voided = frozenset(_voided(policy, request, people))
    alone = request.runs_alone and not (lost or may_act_alone(policy, requester))
    needed = 0 if alone else approvals_needed(policy, request)
    return Judgement(
        refusal=may_cancel(policy) or (RequesterLostRight(ask=policy.requesters) if lost else None),
        voided=voided,
        approvals_needed=needed,
        approvals_missing=max(0, needed - len(request.approved_by - voided)),
    )


def _judge_own(
    policy: Policy, request: Request, people: Mapping[str, Person], started_by: StartedBy
) -> Judgement:
    """Judge the bot's own request: an approver's click lets it run, and else the quarantine."""
    voided = frozenset(_voided(policy, request, people))
    is_approved = request.approved_by - voided
    instead = None if is_approved else ending_before_delete(policy, request, started_by)
    if voided and instead is None:
        instead = Ending(State.QUARANTINED)
    return Judgement(
        refusal=may_cancel(policy),
        voided=voided,
        approvals_needed=request.approvals_needed,
        approvals_missing=int(instead is not None),
        instead=instead,
    )


def _voided(policy: Policy, request: Request, people: Mapping[str, Person]) -> Iterator[str]:
    """Yield the approvers who may not approve, and the further ids of those who count already."""
    counted: set[str] = set()
    for approval in request.approvals:
        if person := people.get(approval.user):
            again = not person.aliases.isdisjoint(counted)
            if again or may_decide(policy, request.requester, person):
                yield person.id
            else:
                counted.add(person.id)


def approvals_needed(policy: Policy, request: Request) -> int:
    """Return the higher of the request's stored number and the policy's current one."""
    return max(policy.approvals, request.approvals_needed)


def approvals_of_retry(policy: Policy, request: Request, person: Person) -> int:
    """Return how many approvals a failed request needs when `person` retries it.

    Who acted alone may do so again until an approver has reviewed it; another person may not. The
    bot's own request needs the approval of who retries it.
    """
    if request.by_bot:
        return request.approvals_needed
    is_same = person.id == request.requester and request.runs_alone and request.unreviewed
    alone = is_same and may_act_alone(policy, person) is None
    return 0 if alone else approvals_needed(policy, request)
