"""Who may ask, who may approve, and what must be typed: pure functions over frozen values."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

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


class Kind(StrEnum):
    """What a person is in the workspace where the bot is installed."""

    MEMBER = "member"  #: a full member: the only kind with rights that nobody named
    GUEST = "guest"  #: invited to a few channels
    BOT = "bot"  #: an app, not a person
    DEACTIVATED = "deactivated"  #: an account that was switched off
    OUTSIDER = "outsider"  #: somebody of another organization (Slack Connect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who clicked, by ids alone: names never decide.

    Attributes:
        id: the user's id (`U…` or `W…`).
        team: the id of the workspace that the user belongs to.
        kind: what the user is in our workspace.
        groups: ids of the user groups, among those that the policy names, that have this user.
    """

    id: str
    team: str
    kind: Kind = Kind.MEMBER
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """A set of people as a setting names it: users, user groups, or every full member."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everyone: bool = False

    def __contains__(self, person: object) -> bool:
        """Whoever is named by id belongs; others only as full members."""
        if not isinstance(person, Person):
            return False
        if person.id in self.users:
            return True
        return person.kind is Kind.MEMBER and (self.everyone or bool(self.groups & person.groups))


EVERYONE = People(everyone=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one project.

    Attributes:
        requesters: who may ask.
        approvals: how many other people must approve, 0 to 5.
        approvers: who may approve and deny.
        self_approval: whether the requester's own approval counts.
        approval_ttl: how long a request waits for its approvals.
        channels: ids of the channels in which the command works; empty means everywhere.
        audit_channel: where every card goes, instead of the channel of the command.
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
    """Say why `person` may not ask for a cancellation, or nothing."""
    return None if person in policy.requesters else NotARequester(ask=policy.requesters)


def may_use_channel(policy: Policy, channel: str) -> NotAllowed | None:
    """Say why the command does not work in `channel`; a direct message is a channel like others."""
    if not policy.channels or channel in policy.channels:
        return None
    return ChannelNotAllowed(channels=policy.channels)


def may_decide(policy: Policy, requester: str, person: Person) -> NotAllowed | None:
    """Say why `person` may not approve the request of `requester`, or nothing."""
    if person not in policy.approvers:
        return NotAnApprover(ask=policy.approvers)
    if person.id == requester and not policy.self_approval:
        return OwnRequest(ask=policy.approvers)
    return None


def may_deny(policy: Policy, requester: str, person: Person) -> NotAllowed | None:
    """Say why `person` may not deny: any approver may, the requester withdraws instead."""
    return may_decide(policy, requester, person)


def may_withdraw(requester: str, person: Person, team: str | None = None) -> NotAllowed | None:
    """Only the person who asked may withdraw.

    Args:
        requester: the user id of who asked.
        person: who wants to withdraw.
        team: the workspace of who asked; an outsider must be of the same. Within our own
            organization a person can appear under several, so that the id decides.
    """
    elsewhere = person.kind is Kind.OUTSIDER and team is not None and person.team != team
    if person.id == requester and not elsewhere:
        return None
    return NotTheRequester(requester=requester)


def may_retry(policy: Policy, person: Person) -> NotAllowed | None:
    """Whoever may ask may try a failed request again."""
    return may_request(policy, person)


def may_approve_once(
    approved_by: frozenset[str], person: Person, approvers: People | None = None
) -> NotAllowed | None:
    """One person is one approval, however often they click."""
    return AlreadyApproved(ask=approvers) if person.id in approved_by else None


def check_reason(policy: Policy, reason: str) -> NotAllowed | None:
    """Refuse an empty reason where the policy wants one."""
    return ReasonMissing() if policy.require_reason and not has_visible_text(reason) else None


def has_visible_text(text: str) -> bool:
    """Whether there is anything to read: blanks and invisible characters are nothing."""
    return any(unicodedata.category(sign)[0] not in "CZ" for sign in text)


def check_typed_name(policy: Policy, cluster_name: str, typed: str) -> NotAllowed | None:
    """Refuse anything but the cluster's exact name where the policy wants it typed."""
    if policy.confirm_by_typing and typed.strip() != cluster_name:
        return NameNotTyped(cluster_name=cluster_name)
    return None


def check_enough_approvers(
    policy: Policy, requester: str, members: frozenset[str]
) -> NotAllowed | None:
    """Refuse a request that nobody could approve.

    Args:
        policy: the rules of the project.
        requester: the user id of who asks.
        members: the user ids of everybody in the approving groups.
    """
    if policy.approvals == 0 or policy.approvers.everyone:
        return None
    able = policy.approvers.users | members
    if not policy.self_approval:
        able -= {requester}
    if len(able) < policy.approvals:
        return TooFewApprovers(needed=policy.approvals, able=len(able))
    return None
