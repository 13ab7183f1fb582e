"""The policy of a project: who may ask, approve, let run and act alone (pure)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from bot.cancellation import errors
from bot.cancellation.errors import NotAllowed
from bot.cancellation.people import EVERYONE, NO_ONE, Kind, People, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules for the downloads of a project, or of one of its clusters."""

    channel: str | None = None  #: for the messages; None: nothing is watched
    requesters: People = EVERYONE  #: may ask, as approvers and people of `break_glass` may
    approvals: int = 0  #: how many other people must approve, 0 to 5
    approvers: People = EVERYONE  #: may approve, and may let a download run
    approval_ttl: timedelta = timedelta(minutes=30)  #: how long a request waits for a decision
    require_reason: bool = False  #: whether a request needs a reason
    break_glass: People = NO_ONE  #: may cancel without the approvals that the policy wants
    read_only: bool = False  #: whether the bot only announces and lists
    auto_cancel_after: timedelta | None = None  #: None: a download is never cancelled by itself
    note: str = ""  #: for the people who decide

    @property
    def auto_cancels(self) -> bool:
        return self.auto_cancel_after is not None and not self.read_only

    @property
    def may_ask(self) -> People:
        return self.requesters | self.approvers | self.break_glass

    @property
    def named_approvers(self) -> People:
        """The approvers whom a message can mention: nobody for `*`."""
        return NO_ONE if self.approvers.everyone else self.approvers


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRule:
    """What a project's policy says about the clusters with one of these names."""

    names: tuple[str, ...]  #: may have `*` and `?`, in any case
    approvals: int | None = None  #: None: as in the project
    note: str = ""

    def matches(self, cluster: str) -> bool:
        return any(_matches(name, cluster) for name in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policy of a project, and the first rule that matches a cluster's name."""

    default: Policy = Policy()
    clusters: tuple[ClusterRule, ...] = ()

    def of(self, cluster: str) -> Policy:
        rule = next((rule for rule in self.clusters if rule.matches(cluster)), None)
        if rule is None:
            return self.default
        approvals = self.default.approvals if rule.approvals is None else rule.approvals
        return replace(self.default, approvals=approvals, note=rule.note or self.default.note)


def _matches(pattern: str, cluster: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, cluster, re.IGNORECASE) is not None


class Act(StrEnum):
    """What a person wants to do."""

    ASK = "ask"  #: ask that a download be cancelled
    APPROVE = "approve"  #: approve the request of another person
    LET_RUN = "let_run"  #: decide that a download goes on
    ACT_ALONE = "act_alone"  #: cancel without the approvals that the policy wants


_REFUSED: Mapping[Act, type[NotAllowed]] = {
    Act.ASK: errors.MayNotAsk,
    Act.APPROVE: errors.MayNotApprove,
    Act.LET_RUN: errors.MayNotLetRun,
    Act.ACT_ALONE: errors.MayNotActAlone,
}
_ACTS_OF_OPERATORS = frozenset({Act.ASK, Act.ACT_ALONE})


def permitted(policy: Policy, act: Act) -> People:
    """Return the people who may do this."""
    match act:
        case Act.ASK:
            return policy.may_ask
        case Act.ACT_ALONE:
            return policy.break_glass
        case _:
            return policy.approvers


def refusal(
    policy: Policy, act: Act, person: Person, requester: str | None = None
) -> NotAllowed | None:
    """Return why a person may not do this, or None: the one rule about who may do what.

    `requester` asked for the request that the act decides. Nobody approves their own request, and
    everybody may withdraw it.
    """
    if policy.read_only and act is not Act.LET_RUN:
        return errors.ReadOnly()
    if person.kind is Kind.OPERATOR:
        return None if act in _ACTS_OF_OPERATORS else errors.NotAtTheCommandLine()
    is_own = requester is not None and person.id == requester
    if act is Act.LET_RUN and is_own:
        return None
    people = permitted(policy, act)
    if person not in people:
        return _REFUSED[act](people)
    if act is Act.APPROVE and is_own:
        return errors.OwnRequest(people.without(person.id))
    return None


def may(policy: Policy, act: Act, person: Person, requester: str | None = None) -> bool:
    return refusal(policy, act, person, requester) is None
