"""Policy checks: who may request, approve, deny, withdraw and retry (pure)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import timedelta

from bot.cancellation.errors import (
    AlreadyApproved,
    ChannelNotAllowed,
    NameNotTyped,
    NotAllowed,
    NotAnApprover,
    NotARequester,
    NotTheRequester,
    OwnRequest,
    ReasonMissing,
    TooFewApprovers,
)
from bot.cancellation.people import EVERYONE, Kind, People, Person

#: Letters and symbols that are drawn as nothing: Hangul fillers and the empty Braille pattern.
BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of one project.

    Attributes:
        requesters: who may request a cancellation.
        approvals: how many people must approve, 0 to 5.
        approvers: who may approve or deny.
        self_approval: whether the requester's own approval counts.
        approval_ttl: how long a request waits for its approvals.
        channels: ids of the channels in which the command works; empty means everywhere.
        audit_channel: the channel for every card, instead of the command's.
        require_reason: whether a reason must be given.
        confirm_by_typing: whether the cluster's name must be typed.
    """

    requesters: People = EVERYONE
    approvals: int = 0
    approvers: People = EVERYONE
    self_approval: bool = False
    approval_ttl: timedelta = timedelta(minutes=30)
    channels: frozenset[str] = frozenset()
    audit_channel: str | None = None
    require_reason: bool = False
    confirm_by_typing: bool = False

    @property
    def groups(self) -> frozenset[str]:
        """Every user group whose members the rules must know."""
        return self.requesters.groups | self.approvers.groups


def may_request(policy: Policy, person: Person) -> NotAllowed | None:
    """Return why `person` may not request a cancellation, or None."""
    return None if person in policy.requesters else NotARequester(ask=policy.requesters)


def may_use_channel(policy: Policy, channel: str) -> NotAllowed | None:
    """Return why the command does not work in `channel`; direct messages are channels too."""
    if not policy.channels or channel in policy.channels:
        return None
    return ChannelNotAllowed(channels=policy.channels)


def may_decide(policy: Policy, requester: str, person: Person) -> NotAllowed | None:
    """Return why `person` may not approve the request of `requester`, or None."""
    if person not in policy.approvers:
        return NotAnApprover(ask=policy.approvers)
    if person.id == requester and not policy.self_approval:
        return OwnRequest(ask=policy.approvers)
    return None


def may_deny(policy: Policy, requester: str, person: Person) -> NotAllowed | None:
    """Return why `person` may not deny, or None: the same people as may approve."""
    return may_decide(policy, requester, person)


def may_withdraw(requester: str, person: Person, team: str | None = None) -> NotAllowed | None:
    """Return why `person` may not withdraw, or None: only the requester may.

    Args:
        requester: the user id of the requester.
        person: the person who clicked.
        team: the requester's workspace; an outsider must be of the same. Within the bot's own
            organization a user may appear under several workspaces, so the id decides.
    """
    elsewhere = person.kind is Kind.OUTSIDER and team is not None and person.team != team
    if person.id == requester and not elsewhere:
        return None
    return NotTheRequester(requester=requester)


def may_retry(policy: Policy, person: Person) -> NotAllowed | None:
    """Return why `person` may not retry, or None: every requester may."""
    return may_request(policy, person)


def may_approve_once(
    approved_by: frozenset[str], person: Person, approvers: People | None = None
) -> NotAllowed | None:
    """Return a refusal if `person` has approved before: each person counts once."""
    return AlreadyApproved(ask=approvers) if person.id in approved_by else None


def check_reason(policy: Policy, reason: str) -> NotAllowed | None:
    """Return a refusal if the policy requires a reason and it is empty."""
    return ReasonMissing() if policy.require_reason and not has_visible_text(reason) else None


def has_visible_text(text: str) -> bool:
    """Whether the text has a visible character: not a separator, control, mark or filler."""
    visible = (each for each in text if each not in BLANK_LETTERS)
    return any(unicodedata.category(each)[0] not in {"C", "M", "Z"} for each in visible)


def check_typed_name(policy: Policy, cluster_name: str, typed: str) -> NotAllowed | None:
    """Return a refusal if the policy requires the cluster's exact name and it was not typed."""
    if policy.confirm_by_typing and typed.strip() != cluster_name:
        return NameNotTyped(cluster_name=cluster_name)
    return None


def check_enough_approvers(
    policy: Policy, requester: str, members: frozenset[str]
) -> NotAllowed | None:
    """Return a refusal if there are fewer possible approvers than required approvals.

    Args:
        policy: the policy of the project.
        requester: the user id of the requester.
        members: the user ids of all members of the approving groups.
    """
    if policy.approvals == 0 or policy.approvers.everyone:
        return None
    able = policy.approvers.users | members
    if not policy.self_approval:
        able -= {requester}
    if len(able) < policy.approvals:
        return TooFewApprovers(needed=policy.approvals, able=len(able))
    return None
