"""The bot's own request: who may keep and retry it, and the conditions of its DELETE."""

from dataclasses import replace
from typing import Any

import pytest

from bot.cancellation.errors import MayNotCancelNow, MayNotKeep, OwnDownload, ReadOnly
from bot.cancellation.judgement import Judgement, judge
from bot.cancellation.lifecycle import Approval, Ending, Request, State
from bot.cancellation.people import EVERYONE, Kind, People, Person
from bot.cancellation.policy import Mode, Policy, may_keep, may_retry
from bot.cancellation.starter import NOT_READ, StartedBy, Starter, StarterKind, StarterStatus
from tests.support.clock import NOON
from tests.support.domain import ABE, ADA, RINA, a_request

APPROVERS = People(users=frozenset({ADA.id, ABE.id}))
POLICY = Policy(
    requesters=EVERYONE,
    approvers=APPROVERS,
    approvals=1,
    quarantine=Mode.ENFORCE,
    quarantine_expected=frozenset({"etl@shop.example"}),
)
OBSERVED = replace(POLICY, quarantine=Mode.OBSERVE)
GONE = Person(id=ADA.id, team=ADA.team, kind=Kind.DEACTIVATED)


def by(name: str) -> StartedBy:
    return StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name=name))


EXPECTED = by("etl@shop.example")


def own_request(*approvers: Person) -> Request:
    approvals = tuple(Approval(user=each.id, at=NOON) for each in approvers)
    return a_request(requester="", approvals_needed=1, approvals=approvals)


def judged(policy: Policy, *approvers: Person, **values: Any) -> Judgement:
    return judge(policy, own_request(*approvers), {each.id: each for each in approvers}, **values)


def test_quarantine_that_is_enforced_allows_the_delete_without_approvals() -> None:
    assert judged(POLICY) == Judgement(
        refusal=None, voided=frozenset(), approvals_needed=1, approvals_missing=0, instead=None
    )
    assert judged(POLICY).allows_delete


@pytest.mark.parametrize(
    ("policy", "started_by", "state"),
    [
        (POLICY, EXPECTED, State.KEPT),
        (OBSERVED, NOT_READ, State.OBSERVED),
        (replace(POLICY, quarantine=Mode.OFF), NOT_READ, State.OBSERVED),
    ],
    ids=["expected starter", "observed", "switched off"],
)
def test_quarantine_that_ended_meanwhile_allows_no_delete(
    policy: Policy, started_by: StartedBy, state: State
) -> None:
    judgement = judged(policy, started_by=started_by)

    assert judgement.instead
    assert judgement.instead.state is state
    assert judgement.approvals_missing == 1
    assert not judgement.allows_delete


def test_click_of_an_approver_allows_the_delete_in_every_mode_of_the_quarantine() -> None:
    judgement = judged(OBSERVED, ADA, started_by=EXPECTED)

    assert (judgement.instead, judgement.voided) == (None, frozenset())
    assert judgement.allows_delete


def test_voided_approval_puts_the_request_back_into_quarantine() -> None:
    judgement = judged(POLICY, GONE)

    assert judgement.instead == Ending(State.QUARANTINED)
    assert judgement.voided == {ADA.id}
    assert not judgement.allows_delete


def test_voided_approval_does_not_shield_the_download_of_an_expected_starter() -> None:
    judgement = judged(POLICY, GONE, started_by=EXPECTED)

    assert judgement.instead
    assert judgement.instead.state is State.KEPT


def test_read_only_project_refuses_the_own_request() -> None:
    judgement = judged(replace(POLICY, read_only=True))

    assert isinstance(judgement.refusal, ReadOnly)
    assert not judgement.allows_delete


@pytest.mark.parametrize(
    ("person", "started_by", "email", "refusal"),
    [
        (ADA, by("mallory@shop.example"), "ada@shop.example", None),
        (ADA, by("ada@shop.example"), None, None),
        (ADA, NOT_READ, "ada@shop.example", None),
        (ADA, by("Ada@shop.example"), "ada@shop.example", OwnDownload),
        (RINA, NOT_READ, None, MayNotKeep),
        (GONE, NOT_READ, None, MayNotKeep),
    ],
)
def test_approver_may_keep_only_a_download_of_another_starter(
    person: Person, started_by: StartedBy, email: str | None, refusal: type[Exception] | None
) -> None:
    refused = may_keep(POLICY, person, started_by, email)

    assert (type(refused) if refused else None) is refusal
    own = person.ids if refusal is OwnDownload else frozenset()
    assert refused is None or refused.ask == APPROVERS - People(users=own)


def test_only_approvers_retry_the_own_request() -> None:
    assert may_retry(POLICY, own_request(), ADA) is None
    assert isinstance(may_retry(POLICY, own_request(), RINA), MayNotCancelNow)
