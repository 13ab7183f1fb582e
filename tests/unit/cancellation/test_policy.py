"""Who may do what: one table of persons and acts, and the policy of a cluster."""

from dataclasses import replace

import pytest

from bot.cancellation import errors
from bot.cancellation.people import EVERYONE, NO_ONE, ActingPerson, Kind, People, Person, operator
from bot.cancellation.policy import Act, ClusterRule, Policies, Policy, refusal
from tests.support.domain import ADA, ALAN, EVE, GIL, OPERATOR, POLICY, RINA, person, users

ASK, APPROVE, LET_RUN, ALONE = Act.ASK, Act.APPROVE, Act.LET_RUN, Act.ACT_ALONE
ANSWERS = [
    # person, act, requester of the open request → refusal
    (RINA, ASK, None, None),
    (ADA, ASK, None, None),
    (GIL, ASK, None, None),
    (OPERATOR, ASK, None, None),
    (EVE, ASK, None, errors.MayNotAsk),
    (ADA, APPROVE, "U0RINA", None),
    (ADA, APPROVE, None, None),
    (ADA, APPROVE, "U0ADA", errors.OwnRequest),
    (RINA, APPROVE, "U0RINA", errors.MayNotApprove),
    (GIL, APPROVE, "U0RINA", errors.MayNotApprove),
    (OPERATOR, APPROVE, "U0RINA", errors.NotAtTheCommandLine),
    (ADA, LET_RUN, "U0RINA", None),
    (RINA, LET_RUN, "U0RINA", None),
    (RINA, LET_RUN, None, errors.MayNotLetRun),
    (GIL, LET_RUN, "U0RINA", errors.MayNotLetRun),
    (OPERATOR, LET_RUN, "cli:root", errors.NotAtTheCommandLine),
    (GIL, ALONE, None, None),
    (OPERATOR, ALONE, None, None),
    (ADA, ALONE, None, errors.MayNotActAlone),
]


@pytest.mark.parametrize(("someone", "act", "requester", "answer"), ANSWERS)
def test_person_and_act_give_the_refusal_or_none(
    someone: ActingPerson, act: Act, requester: str | None, answer: type[errors.NotAllowed] | None
) -> None:
    result = refusal(POLICY, act, someone, requester)

    assert (type(result) if result else None) is answer


@pytest.mark.parametrize("act", [ASK, APPROVE, ALONE])
@pytest.mark.parametrize("someone", [RINA, ADA, GIL, OPERATOR])
def test_read_only_project_refuses_every_act_that_cancels(someone: ActingPerson, act: Act) -> None:
    assert isinstance(refusal(replace(POLICY, read_only=True), act, someone), errors.ReadOnly)


def test_refusal_names_the_people_who_may() -> None:
    result = refusal(POLICY, APPROVE, person("U0ADA"), "U0ADA")

    assert result is not None
    assert result.people == users("U0ALAN")


@pytest.mark.parametrize(
    ("kind", "by_id", "by_everyone", "by_group"),
    [
        (Kind.MEMBER, True, True, True),
        (Kind.GUEST, True, False, False),
        (Kind.OUTSIDER, True, False, False),
        (Kind.BOT, False, False, False),
        (Kind.DEACTIVATED, False, False, False),
    ],
)
def test_kind_decides_which_ways_of_naming_cover_a_person(
    kind: Kind, by_id: bool, by_everyone: bool, by_group: bool
) -> None:
    someone = person("U0SAM", kind, groups=frozenset({"S0OPS"}))

    assert (someone in users("U0SAM")) is by_id
    assert (someone in EVERYONE) is by_everyone
    assert (someone in People(groups=frozenset({"S0OPS"}))) is by_group
    assert someone not in NO_ONE


def test_account_of_the_machine_is_an_operator_of_no_workspace() -> None:
    assert operator("root") == Person(id="cli:root", team="", kind=Kind.OPERATOR)


def test_first_matching_cluster_rule_changes_approvals_and_note_alone() -> None:
    rules = (
        ClusterRule(names=("PROD-*",), approvals=2, note="Call 7700."),
        ClusterRule(names=("prod-eu", "de?"), note="never seen"),
    )
    policies = Policies(default=POLICY, clusters=rules)

    assert policies.of("prod-eu") == replace(POLICY, approvals=2, note="Call 7700.")
    assert policies.of("dev") == replace(POLICY, note="never seen")
    assert policies.of("prodeu") == POLICY
    assert policies.of("xprod-eu") == POLICY


def test_approvers_and_people_of_break_glass_may_ask() -> None:
    policy = Policy(requesters=users("U1"), approvers=users("U2"), break_glass=users("U3"))

    assert policy.may_ask == users("U1", "U2", "U3")
    assert ALAN not in policy.may_ask


def test_policy_of_no_settings_lets_every_member_cancel_alone_and_cancels_nothing_by_itself() -> (
    None
):
    policy = Policy()

    assert (policy.approvals, policy.require_reason, policy.read_only) == (0, False, False)
    assert RINA in policy.requesters
    assert not policy.break_glass
    assert not policy.auto_cancels


def test_set_of_people_has_those_of_both_and_is_empty_only_without_any() -> None:
    both = People(users=frozenset({"U1"})) | People(groups=frozenset({"S1"}))

    assert both == People(users=frozenset({"U1"}), groups=frozenset({"S1"}))
    assert (both | EVERYONE).everyone
    assert [bool(item) for item in (both, EVERYONE, NO_ONE)] == [True, True, False]
    assert bool(People(groups=frozenset({"S1"})))
