"""Who may request, approve, deny, withdraw and retry."""

from typing import Any

import pytest

from bot.cancellation import errors
from bot.cancellation.judgement import approvals_of_retry, judge
from bot.cancellation.lifecycle import Approval, Request
from bot.cancellation.people import EVERYONE, Kind, People, Person
from bot.cancellation.policy import (
    Policy,
    check_enough_approvers,
    check_reason,
    check_typed_name,
    may_act_alone,
    may_approve_once,
    may_decide,
    may_request,
    may_retry,
    may_review,
    may_use_channel,
    may_withdraw,
)
from tests.support.clock import NOON
from tests.support.domain import a_request

RINA = Person(id="U0RINA", team="T1")
ADA = Person(id="U0ADA", team="T1", groups=frozenset({"S0APPROVE"}))
WITHOUT_RIGHTS = (Kind.GUEST, Kind.BOT, Kind.DEACTIVATED, Kind.OUTSIDER)


@pytest.mark.parametrize("kind", WITHOUT_RIGHTS)
def test_everyone_is_the_full_members_only(kind: Kind) -> None:
    person = Person(id="U0GUS", team="T1", kind=kind)

    assert may_request(Policy(), RINA) is None
    assert isinstance(may_request(Policy(), person), errors.NotARequester)


@pytest.mark.parametrize("kind", WITHOUT_RIGHTS)
def test_group_grants_rights_to_full_members_only(kind: Kind) -> None:
    policy = Policy(approvers=People(groups=frozenset({"S0APPROVE"})), approvals=1)
    person = Person(id="U0GUS", team="T1", kind=kind, groups=frozenset({"S0APPROVE"}))

    assert isinstance(may_decide(policy, RINA.id, person), errors.NotAnApprover)


def test_colleague_of_another_workspace_has_rights_by_a_group_only() -> None:
    group = frozenset({"S0APPROVE"})
    person = Person(id="U0SIS", team="T2", kind=Kind.COLLEAGUE, groups=group)

    assert isinstance(may_request(Policy(), person), errors.NotARequester)
    assert may_request(Policy(requesters=People(groups=group)), person) is None


def test_requester_under_another_id_may_not_approve_and_approves_once() -> None:
    same = Person(id="W0RINA", team="T1", aliases=frozenset({RINA.id}))
    given = (Approval(user=RINA.id, at=NOON),)
    request = a_request(requester="U0SAM", approvals_needed=2, approvals=given)

    assert isinstance(may_decide(Policy(approvals=1), RINA.id, same), errors.OwnRequest)
    assert isinstance(may_approve_once(Policy(), request, same), errors.AlreadyApproved)


def test_two_ids_of_one_person_are_one_approval() -> None:
    given = tuple(Approval(user=user, at=NOON) for user in ("U0ADA", "W0ADA"))
    request = a_request(approvals_needed=2, approvals=given)
    people = {
        "U0ADA": Person(id="U0ADA", team="T1", aliases=frozenset({"W0ADA"})),
        "W0ADA": Person(id="W0ADA", team="T1", aliases=frozenset({"U0ADA"})),
        request.requester: RINA,
    }
    judged = judge(Policy(approvals=2), request, people)

    assert judged.voided == {"W0ADA"}
    assert judged.approvals_missing == 1


@pytest.mark.parametrize("kind", [*Kind])
def test_user_listed_by_id_has_the_right_unless_deactivated(kind: Kind) -> None:
    policy = Policy(requesters=People(users=frozenset({"U0GUS"})))
    refusal = may_request(policy, Person(id="U0GUS", team="T9", kind=kind))

    assert (refusal is None) is (kind is not Kind.DEACTIVATED)


def test_refusal_has_the_others_who_may() -> None:
    people = People(users=frozenset({"U0ADA"}))
    both = People(users=frozenset({"U0ADA", "U0RINA"}))
    refusals = [
        may_request(Policy(requesters=people), RINA),
        may_decide(Policy(approvers=people), ADA.id, RINA),
        may_decide(Policy(approvers=both), RINA.id, RINA),
        may_approve_once(Policy(approvers=both), approved_by("U0RINA"), RINA),
        may_act_alone(Policy(break_glass=people), RINA),
        may_review(Policy(approvers=people), a_request(requester="U0SAM", acted_alone=True), RINA),
        may_review(Policy(approvers=both), a_request(requester="U0RINA", acted_alone=True), RINA),
        judge(Policy(requesters=people), a_request(requester="U0RINA"), {"U0RINA": RINA}).refusal,
    ]

    assert [refusal.ask for refusal in refusals if refusal] == [people] * 8


def test_requester_decides_the_own_request_by_self_approval_only() -> None:
    assert isinstance(may_decide(Policy(approvals=1), RINA.id, RINA), errors.OwnRequest)
    assert may_decide(Policy(approvals=1, self_approval=True), RINA.id, RINA) is None


def test_second_approval_of_a_person_is_refused_unless_all_approvals_are_there() -> None:
    assert isinstance(may_approve_once(Policy(), approved_by("U0ADA"), ADA), errors.AlreadyApproved)
    assert may_approve_once(Policy(), approved_by("U0ABE"), ADA) is None
    assert may_approve_once(Policy(), approved_by("U0ADA", "U0ABE"), ADA) is None


TEAM = People(groups=frozenset({"S0APPROVE"}))


def people(*users: str, **changed: Person) -> dict[str, Person]:
    groups = TEAM.groups
    return {user: Person(id=user, team="T1", groups=groups) for user in users} | changed


def test_entitled_requester_and_approvers_allow_the_delete() -> None:
    policy = Policy(requesters=TEAM, approvers=TEAM, approvals=2)
    judgement = judge(policy, approved_by("U0ADA", "U0ABE"), people("U0RINA", "U0ADA", "U0ABE"))

    assert judgement.allows_delete


@pytest.mark.parametrize("kind", WITHOUT_RIGHTS)
def test_approval_of_a_person_without_rights_is_voided(kind: Kind) -> None:
    ada = Person(id="U0ADA", team="T1", kind=kind, groups=TEAM.groups)
    judgement = judge(
        Policy(approvers=TEAM, approvals=2),
        approved_by("U0ADA", "U0ABE"),
        people("U0RINA", "U0ABE", U0ADA=ada),
    )

    assert judgement.voided == {"U0ADA"}
    assert judgement.approvals_missing == 1
    assert not judgement.allows_delete


def test_own_approval_is_voided_once_self_approval_is_off() -> None:
    policy = Policy(approvals=1)
    judgement = judge(policy, approved_by("U0RINA", needed=1), people("U0RINA"))

    assert judgement.voided == {"U0RINA"}


def test_requester_without_rights_stops_a_request_without_approvals() -> None:
    left = Person(id="U0RINA", team="T1")
    judgement = judge(Policy(requesters=TEAM), a_request(), {"U0RINA": left})

    assert isinstance(judgement.refusal, errors.RequesterLostRight)
    assert not judgement.allows_delete


@pytest.mark.parametrize(("then", "now", "needed"), [(1, 2, 2), (2, 1, 2), (0, 1, 1), (1, 0, 1)])
def test_higher_number_of_approvals_applies(then: int, now: int, needed: int) -> None:
    request = a_request(approvals_needed=then)
    judgement = judge(Policy(approvals=now), request, people("U0RINA"))

    assert (judgement.approvals_needed, judgement.approvals_missing) == (needed, needed)


def approved_by(*users: str, needed: int = 2) -> Request:
    approvals = tuple(Approval(user=user, at=NOON) for user in users)
    return a_request(approvals_needed=needed, approvals=approvals)


def test_id_is_not_among_people_who_are_everyone() -> None:
    assert "U0ADA" not in People(users=frozenset({"U0ADA"}), everyone=True)


def test_only_the_requester_may_withdraw() -> None:
    assert may_withdraw(a_request(), RINA) is None
    refusal = may_withdraw(a_request(), ADA)
    assert isinstance(refusal, errors.NotTheRequester)
    assert refusal.requester == RINA.id


def test_outsider_with_the_requesters_id_may_not_withdraw() -> None:
    stranger = Person(id=RINA.id, team="T9", kind=Kind.OUTSIDER)

    assert isinstance(may_withdraw(a_request(team=RINA.team), stranger), errors.NotTheRequester)
    assert may_withdraw(a_request(team="T9"), stranger) is None


def test_only_requesters_may_retry() -> None:
    policy = Policy(requesters=People(users=frozenset({RINA.id})))

    assert may_retry(policy, a_request(), RINA) is None
    assert isinstance(may_retry(policy, a_request(), ADA), errors.NotARequester)


def test_command_works_everywhere_unless_channels_are_listed() -> None:
    assert may_use_channel(Policy(), "C1") is None
    assert may_use_channel(Policy(channels=frozenset({"C1"})), "C1") is None
    refusal = may_use_channel(Policy(channels=frozenset({"C1"})), "C2")
    assert isinstance(refusal, errors.ChannelNotAllowed)
    assert refusal.channels == frozenset({"C1"})


@pytest.mark.parametrize(
    "blank", ["  \n", "\u200b\u2060", "\u3164", "\u2800\u2800", "\u115f", "\ufe0f", "\u034f"]
)
def test_reason_without_visible_character_is_refused_where_required_or_alone(blank: str) -> None:
    assert isinstance(check_reason(Policy(require_reason=True), blank), errors.ReasonMissing)
    assert isinstance(check_reason(Policy(), blank, alone=True), errors.ReasonMissing)


def test_visible_reason_is_accepted() -> None:
    assert check_reason(Policy(require_reason=True), "wrong cluster") is None
    assert check_reason(Policy(), "") is None


@pytest.mark.parametrize(
    "typed",
    [
        "prod-eu",
        " PROD-EU\n",
        "Prod\u2013eu",
        "prod\u2014eu",
        "prod\u2212eu",
        "\u201cprod-eu\u201d",
        "\u00a0'prod-eu' ",
        "`prod-eu`",
    ],
)
def test_cluster_name_is_accepted_as_a_phone_writes_it(typed: str) -> None:
    assert check_typed_name(Policy(confirm_by_typing=True), "prod-eu", typed) is None
    assert check_typed_name(Policy(confirm_by_typing=True), "prod--eu", "prod\u2014eu") is None


@pytest.mark.parametrize("typed", ["", "prod-us", "prod eu", "prodeu", "prod-eu-2", "-prod-eu"])
def test_other_cluster_name_is_refused(typed: str) -> None:
    refusal = check_typed_name(Policy(confirm_by_typing=True), "prod-eu", typed)

    assert isinstance(refusal, errors.NameNotTyped)
    assert "prod-eu" in str(refusal)
    assert check_typed_name(Policy(), "prod-eu", typed) is None


GLASS = Policy(
    approvals=1,
    approvers=People(users=frozenset({ADA.id, "U0ABE"}), groups=frozenset({"S0APPROVE"})),
    break_glass=People(users=frozenset({RINA.id}), groups=frozenset({"S0ONCALL"})),
)


@pytest.mark.parametrize(
    ("person", "may"),
    [
        (RINA, True),
        (Person(id="U0SAM", team="T1", groups=frozenset({"S0ONCALL"})), True),
        (Person(id="U0GUS", team="T1", kind=Kind.GUEST, groups=frozenset({"S0ONCALL"})), False),
        (Person(id=RINA.id, team="T1", kind=Kind.DEACTIVATED), False),
        (ADA, False),
    ],
)
def test_only_named_people_may_act_alone(*, person: Person, may: bool) -> None:
    assert (may_act_alone(GLASS, person) is None) == may
    assert isinstance(may_act_alone(Policy(approvals=1), person), errors.MayNotActAlone)


def test_review_takes_an_approver_who_is_not_the_requester() -> None:
    alone = a_request(requester=ADA.id, acted_alone=True)
    other_id = Person(id="W0ADA", team="T1", aliases=frozenset({ADA.id}))

    assert may_review(GLASS, alone, Person(id="U0ABE", team="T1")) is None
    assert isinstance(may_review(GLASS, alone, ADA), errors.OwnAct)
    assert isinstance(may_review(GLASS, alone, other_id), errors.OwnAct)
    assert isinstance(may_review(GLASS, alone, RINA), errors.NotAReviewer)
    assert isinstance(may_review(GLASS, a_request(), ADA), errors.NothingToReview)


def test_request_that_acted_alone_runs_while_its_requester_keeps_the_right() -> None:
    request = a_request(requester=RINA.id, acted_alone=True)
    gone = Person(id=RINA.id, team="T1", kind=Kind.DEACTIVATED)

    assert judge(GLASS, request, {RINA.id: RINA}).allows_delete
    for policy, person in ((GLASS, gone), (Policy(approvals=1), RINA)):
        judgement = judge(policy, request, {RINA.id: person})
        assert not judgement.allows_delete
        assert judgement.approvals_needed == 1


@pytest.mark.parametrize(
    ("person", "changes", "needed"),
    [
        (RINA, {}, 0),
        # who may act alone, too
        (Person(id="U0OPS", team="T1", groups=frozenset({"S0ONCALL"})), {}, 1),
        (RINA, {"reviewed_by": ADA.id}, 1),
        (RINA, {"acted_alone": False}, 1),
        (RINA, {"approvals_needed": 2}, 2),
        (Person(id=RINA.id, team="T1", kind=Kind.DEACTIVATED), {}, 1),
    ],
)
def test_retry_without_approval_is_for_who_acted_alone_until_it_is_reviewed(
    person: Person, changes: dict[str, Any], needed: int
) -> None:
    request = a_request(**{"requester": RINA.id, "acted_alone": True} | changes)

    assert approvals_of_retry(GLASS, request, person) == needed


@pytest.mark.parametrize(
    ("approvals", "users", "members", "self_approval", "possible"),
    [
        (0, set(), set(), False, True),
        (1, {"U0ADA"}, set(), False, True),
        (1, {"U0RINA"}, set(), False, False),
        (1, {"U0RINA"}, set(), True, True),
        (1, set(), set(), False, False),
        (2, {"U0ADA"}, {"U0ABE"}, False, True),
        (2, {"U0ADA"}, {"U0ADA"}, False, False),
    ],
)
def test_request_without_enough_approvers_is_refused(
    *, approvals: int, users: set[str], members: set[str], self_approval: bool, possible: bool
) -> None:
    policy = Policy(
        approvals=approvals,
        approvers=People(users=frozenset(users), groups=frozenset({"S1"})),
        self_approval=self_approval,
    )
    refusal = check_enough_approvers(policy, RINA.id, frozenset(members))

    assert (refusal is None) == possible
    if not possible:
        able = (users | members) if self_approval else (users | members) - {RINA.id}
        assert isinstance(refusal, errors.TooFewApprovers)
        assert (refusal.needed, refusal.able) == (approvals, len(able))


def test_everyone_as_approvers_is_always_enough() -> None:
    assert (
        check_enough_approvers(Policy(approvals=2, approvers=EVERYONE), RINA.id, frozenset())
        is None
    )
