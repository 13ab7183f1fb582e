"""Who may ask, approve, deny, withdraw and retry."""

from __future__ import annotations

import pytest

from bot.cancellation.errors import (
    AlreadyApproved,
    ChannelNotAllowed,
    NameNotTyped,
    NotAnApprover,
    NotARequester,
    NotTheRequester,
    OwnRequest,
    ReasonMissing,
    TooFewApprovers,
)
from bot.cancellation.policy import (
    EVERYONE,
    Kind,
    People,
    Person,
    Policy,
    check_enough_approvers,
    check_reason,
    check_typed_name,
    may_approve_once,
    may_decide,
    may_request,
    may_retry,
    may_use_channel,
    may_withdraw,
)

RINA = Person(id="U0RINA", team="T1")
ADA = Person(id="U0ADA", team="T1", groups=frozenset({"S0APPROVE"}))
WITHOUT_RIGHTS = (Kind.GUEST, Kind.BOT, Kind.DEACTIVATED, Kind.OUTSIDER)


def test_every_full_member_may_ask_by_default() -> None:
    assert may_request(Policy(), RINA) is None


@pytest.mark.parametrize("kind", WITHOUT_RIGHTS)
def test_guests_bots_deactivated_people_and_outsiders_are_not_everyone(kind: Kind) -> None:
    person = Person(id="U0GUS", team="T1", kind=kind)

    assert isinstance(may_request(Policy(), person), NotARequester)


@pytest.mark.parametrize("kind", WITHOUT_RIGHTS)
def test_a_group_gives_no_rights_to_anybody_but_full_members(kind: Kind) -> None:
    policy = Policy(approvers=People(groups=frozenset({"S0APPROVE"})), approvals=1)
    person = Person(id="U0GUS", team="T1", kind=kind, groups=frozenset({"S0APPROVE"}))

    assert isinstance(may_decide(policy, RINA.id, person), NotAnApprover)


@pytest.mark.parametrize("kind", WITHOUT_RIGHTS)
def test_whoever_is_named_by_id_has_the_right(kind: Kind) -> None:
    policy = Policy(requesters=People(users=frozenset({"U0GUS"})))

    assert may_request(policy, Person(id="U0GUS", team="T9", kind=kind)) is None


def test_a_refusal_names_whom_to_ask() -> None:
    people = People(users=frozenset({"U0ADA"}))

    refusal = may_request(Policy(requesters=people), RINA)

    assert refusal is not None
    assert refusal.ask == people


def test_a_member_of_an_approving_group_may_decide() -> None:
    policy = Policy(approvers=People(groups=frozenset({"S0APPROVE"})), approvals=1)

    assert may_decide(policy, RINA.id, ADA) is None


def test_nobody_decides_on_their_own_request() -> None:
    assert isinstance(may_decide(Policy(approvals=1), RINA.id, RINA), OwnRequest)


def test_self_approval_counts_only_where_the_policy_says_so() -> None:
    assert may_decide(Policy(approvals=1, self_approval=True), RINA.id, RINA) is None


def test_one_person_is_one_approval() -> None:
    assert isinstance(may_approve_once(frozenset({"U0ADA"}), ADA), AlreadyApproved)


def test_only_the_requester_withdraws() -> None:
    assert may_withdraw(RINA.id, RINA) is None
    assert isinstance(may_withdraw(RINA.id, ADA), NotTheRequester)


def test_an_id_of_the_requester_in_another_organization_is_not_the_requester() -> None:
    stranger = Person(id=RINA.id, team="T9", kind=Kind.OUTSIDER)

    assert isinstance(may_withdraw(RINA.id, stranger, RINA.team), NotTheRequester)
    assert may_withdraw(RINA.id, stranger, "T9") is None


def test_only_requesters_retry() -> None:
    policy = Policy(requesters=People(users=frozenset({RINA.id})))

    assert may_retry(policy, RINA) is None
    assert isinstance(may_retry(policy, ADA), NotARequester)


def test_the_command_works_everywhere_unless_channels_are_named() -> None:
    assert may_use_channel(Policy(), "C1") is None
    assert may_use_channel(Policy(channels=frozenset({"C1"})), "C1") is None
    assert isinstance(may_use_channel(Policy(channels=frozenset({"C1"})), "C2"), ChannelNotAllowed)


def test_a_reason_of_blanks_is_no_reason() -> None:
    assert isinstance(check_reason(Policy(require_reason=True), "  \n"), ReasonMissing)
    assert check_reason(Policy(require_reason=True), "wrong cluster") is None
    assert check_reason(Policy(), "") is None


def test_the_clusters_name_must_be_typed_exactly() -> None:
    policy = Policy(confirm_by_typing=True)

    refusal = check_typed_name(policy, "prod-eu", "prod-us")

    assert isinstance(refusal, NameNotTyped)
    assert "prod-eu" in str(refusal)
    assert check_typed_name(policy, "prod-eu", " prod-eu ") is None
    assert check_typed_name(Policy(), "prod-eu", "") is None


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
def test_a_request_that_nobody_could_approve_is_refused(
    *, approvals: int, users: set[str], members: set[str], self_approval: bool, possible: bool
) -> None:
    policy = Policy(
        approvals=approvals,
        approvers=People(users=frozenset(users), groups=frozenset({"S1"})),
        self_approval=self_approval,
    )

    refusal = check_enough_approvers(policy, RINA.id, frozenset(members))

    assert (refusal is None) == possible
    assert possible or isinstance(refusal, TooFewApprovers)


def test_everyone_can_approve_a_request_for_everyone() -> None:
    assert (
        check_enough_approvers(Policy(approvals=2, approvers=EVERYONE), RINA.id, frozenset())
        is None
    )
