"""When the approvers of a waiting request are notified, and which of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.cancellation.lifecycle import Approval, Request
from bot.cancellation.people import Kind, People, Person
from bot.cancellation.policy import Policy
from bot.cancellation.posts import (
    Notice,
    due_notice,
    notified_approvers,
    people_to_notify,
    recipients,
)
from tests.support.clock import NOON
from tests.support.domain import RINA, a_request, a_waiting_request

TEAM = RINA.team
GROUP = "S0APPROVE"
APPROVERS = People(users=frozenset({"U0ADA"}), groups=frozenset({GROUP}))


def at(seconds: float) -> Any:
    return NOON + timedelta(seconds=seconds)


def reminders(*seconds: int, **changes: Any) -> Policy:
    return Policy(remind_after=tuple(timedelta(seconds=s) for s in seconds), **changes)


def waiting(planned: float = 0, **changes: Any) -> Request:
    return a_waiting_request(next_notice_at=at(planned), **changes)


def a_notice(reminder: int, next_at: float | None, **changes: bool) -> Notice:
    values = {"is_first": False, "escalates": False} | changes
    return Notice(reminder=reminder, next_at=at(next_at) if next_at else None, **values)


LAST = a_notice(1, None, escalates=True)


@pytest.mark.parametrize(
    ("policy", "request_", "now", "notice"),
    [
        (reminders(60, 180), waiting(), 1, a_notice(0, 60, is_first=True)),
        (reminders(60, 180), waiting(60), 61, a_notice(1, 180)),
        (reminders(60, 180), waiting(180), 181, a_notice(2, None, escalates=True)),
        (reminders(60, 180, 600), waiting(60), 200, a_notice(2, 600)),
        (reminders(60, 180), waiting(), 200, a_notice(0, None, is_first=True, escalates=True)),
        (reminders(), waiting(), 1, a_notice(0, None, is_first=True, escalates=True)),
        (reminders(60, 600), waiting(60, expires_at=at(300)), 60, LAST),
        (reminders(60, 300), waiting(60, expires_at=at(300)), 60, LAST),
        (reminders(180), waiting(60), 61, a_notice(0, 180)),
    ],
    ids=[
        "first notice of a new request plans the first reminder",
        "reminder plans the next one",
        "last reminder escalates",
        "reminders missed while no bot ran count as one",
        "late first notice stands for the reminders before it",
        "first notice without reminders escalates",
        "last reminder before the expiry escalates",
        "last reminder before one at the expiry escalates",
        "reminder that the policy has no more is only planned again",
    ],
)
def test_next_notice_follows_the_reminder_times(
    policy: Policy, request_: Request, now: float, notice: Notice
) -> None:
    assert due_notice(policy, request_, at(now)) == notice


def person(user: str, kind: Kind = Kind.MEMBER, *aliases: str) -> Person:
    groups = frozenset({GROUP})
    return Person(id=user, team=TEAM, kind=kind, groups=groups, aliases=frozenset(aliases))


def notified(*people: Person, policy: Policy | None = None, **changes: Any) -> list[str]:
    policy = policy or Policy(approvers=APPROVERS)
    found = people_to_notify(policy, replace(a_waiting_request(), **changes), people)
    return [each.id for each in found]


@pytest.mark.parametrize("kind", [Kind.GUEST, Kind.BOT, Kind.DEACTIVATED, Kind.OUTSIDER])
def test_member_of_a_group_who_may_not_approve_is_not_notified(kind: Kind) -> None:
    assert notified(person("U0GUS", kind), person("U0ABE")) == ["U0ABE"]


@pytest.mark.parametrize("kind", [Kind.BOT, Kind.DEACTIVATED])
def test_named_account_without_a_person_is_not_notified(kind: Kind) -> None:
    assert notified(person("U0ADA", kind)) == []


def test_requester_is_notified_under_no_id_even_with_self_approval() -> None:
    policy = Policy(approvers=APPROVERS, self_approval=True)

    assert notified(person(RINA.id), person("W0R", Kind.MEMBER, RINA.id), policy=policy) == []


def test_person_with_two_ids_is_notified_once() -> None:
    ada, abe, again = person("U0ADA", Kind.MEMBER, "W0ADA"), person("U0ABE"), person("W0ADA")

    assert notified(ada, abe, again) == ["U0ADA", "U0ABE"]


def test_person_who_approved_already_is_not_notified() -> None:
    approvals = (Approval(user="U0ADA", at=NOON),)

    assert notified(person("U0ADA"), person("U0ABE"), approvals=approvals) == ["U0ABE"]


def test_at_most_twenty_approvers_without_the_requester_get_direct_messages() -> None:
    policy = Policy(approvals=1, approvers=APPROVERS)
    members = frozenset(f"U1{number:02}" for number in range(30))
    notified = recipients(policy, "U100", members)

    assert notified[:2] == ("U0ADA", "U101")
    assert len(notified) == 20
    assert recipients(Policy(approvals=1), RINA.id, frozenset()) == ()


@pytest.mark.parametrize(
    ("self_approval", "alone", "named"),
    [(False, False, {"U0ABE"}), (True, False, {"U0ABE", RINA.id}), (True, True, {"U0ABE"})],
)
def test_requester_is_named_as_an_approver_only_if_their_own_approval_counts(
    *, self_approval: bool, alone: bool, named: set[str]
) -> None:
    people = People(users=frozenset({"U0ABE", RINA.id}))
    policy = Policy(approvals=1, approvers=people, self_approval=self_approval)

    assert notified_approvers(policy, a_request(acted_alone=alone)).users == named
