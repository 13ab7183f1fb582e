"""Approvals and retries judge the requester and the earlier approvals again."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from bot.cancellation.errors import (
    MayNotActAlone,
    NotAllowed,
    NotARequester,
    OwnAct,
    OwnRequest,
    ReadOnly,
    ReasonMissing,
    RequesterLostRight,
    TooFewApprovers,
)
from bot.cancellation.lifecycle import Approval, Outcome, State
from bot.cancellation.people import ActingPerson, Kind, People, Person
from bot.cancellation.policy import Policy
from bot.cancellation.posts import PostKind
from bot.services.service import Submission
from bot.storage.tables import posts
from tests.support.clock import NOON
from tests.support.domain import ABE, ADA, RINA, a_request, a_waiting_request, an_ask, job_ref
from tests.unit.services.conftest import NewService

TEAM = People(groups=frozenset({"S0TEAM"}))
GONE = Kind.DEACTIVATED


def person(user: str, kind: Kind = Kind.MEMBER) -> Person:
    return Person(id=user, team=RINA.team, kind=kind, groups=TEAM.groups)


def clicking(user: str) -> ActingPerson:
    return ActingPerson(person(user))


def policy(approvals: int) -> Policy:
    return Policy(requesters=TEAM, approvers=TEAM, approvals=approvals)


async def test_last_approval_voids_one_of_a_person_who_left(new_service: NewService) -> None:
    service = new_service(policy(2))
    approvals = (Approval(user=ADA.id, at=NOON),)
    waiting = await service.insert(
        a_request(state=State.AWAITING, approvals_needed=2, ref=job_ref(), approvals=approvals)
    )
    service.people[ADA.id] = Person(id=ADA.id, team=ADA.team)  # in no group any more
    request = await service.service.approve(waiting.id, clicking(ABE.id))

    assert request.state is State.AWAITING
    assert request.approved_by == {ABE.id}
    assert request.voided == (ADA.id,)
    assert service.runs.started == []


async def test_requester_under_an_id_of_the_organization_cannot_approve(
    new_service: NewService,
) -> None:
    service = new_service(policy(1))
    waiting = await service.insert(a_waiting_request(ref=job_ref()))
    service.people["W0RINA"] = replace(person("W0RINA"), aliases=frozenset({RINA.id}))
    with pytest.raises(OwnRequest):
        await service.service.approve(waiting.id, clicking("W0RINA"))

    assert (await service.request(waiting.id)).approvals == ()


@pytest.mark.parametrize("approvals", [0, 1])
async def test_request_that_waits_for_its_requesters_right_runs_by_one_approval_after_it(
    new_service: NewService, approvals: int
) -> None:
    service = new_service(policy(approvals))
    given = (Approval(user=ADA.id, at=NOON),) * approvals
    waiting = await service.insert(
        a_request(state=State.AWAITING, ref=job_ref(), approvals_needed=approvals, approvals=given)
    )
    service.people[RINA.id] = person(RINA.id, GONE)
    with pytest.raises(RequesterLostRight):
        await service.service.approve(waiting.id, clicking(ADA.id))
    del service.people[RINA.id]

    assert (await service.service.approve(waiting.id, clicking(ADA.id))).state is State.APPROVED


async def test_number_of_approvals_raised_meanwhile_applies(new_service: NewService) -> None:
    service = new_service(policy(2))
    waiting = await service.insert(a_waiting_request(1, ref=job_ref()))
    request = await service.service.approve(waiting.id, clicking(ADA.id))

    assert (request.state, request.approvals_needed) == (State.AWAITING, 2)
    assert (await service.service.approve(waiting.id, clicking(ABE.id))).state is State.APPROVED


async def test_request_of_a_deactivated_person_cannot_be_retried(new_service: NewService) -> None:
    service = new_service(policy(0))
    failed = await service.insert(
        a_request(state=State.FAILED, ref=job_ref(), outcome=Outcome(sentence="lost"))
    )
    service.people[RINA.id] = person(RINA.id, GONE)
    with pytest.raises(RequesterLostRight):
        await service.service.retry(failed.id, clicking(ADA.id))


async def test_retry_by_a_person_without_rights_is_refused_whenever_it_comes(
    new_service: NewService,
) -> None:
    service = new_service(policy(0))
    failed = await service.insert(a_request(state=State.FAILED, ref=job_ref()))
    service.clock.advance(86400)
    with pytest.raises(NotARequester):
        await service.service.retry(failed.id, ADA)


GLASS = Policy(
    approvals=1,
    approvers=People(users=frozenset({ADA.id, ABE.id})),
    break_glass=People(users=frozenset({RINA.id, ADA.id})),
)


def submission(user: str, **changes: Any) -> Submission:
    values: dict[str, Any] = {
        "key": "V1",
        "person": ActingPerson(Person(id=user, team=RINA.team)),
        "ask": an_ask(),
        "channel": "C0OPS",
        "alone": True,
    }
    return Submission(**values | changes)


@pytest.mark.parametrize(("channel", "told"), [("C0OPS", [ABE.id, ADA.id]), ("", [])])
async def test_submission_that_acts_alone_runs_immediately_and_approvers_read_of_it(
    new_service: NewService, channel: str, told: list[str]
) -> None:
    service = new_service(GLASS)
    request = await service.service.submit(submission(RINA.id, channel=channel))

    assert (request.state, request.approvals_needed) == (State.APPROVED, 0)
    assert request.acted_alone
    assert service.runs.started == [request.id]
    # Without a channel they get the card itself.
    sent = select(posts.c.kind, posts.c.recipient)
    found = await service.database.read(lambda db: db.execute(sent).all())
    assert sorted(user for kind, user in found if kind == PostKind.DIRECT) == told
    assert (PostKind.CARD, None) in found


@pytest.mark.parametrize(
    ("policy", "is_hidden"), [(Policy(), True), (GLASS, False), (Policy(approvals=1), False)]
)
async def test_look_up_leaves_out_a_quarantine_where_every_person_may_cancel_at_once(
    new_service: NewService, policy: Policy, *, is_hidden: bool
) -> None:
    service = new_service(policy)
    own = a_request(state=State.QUARANTINED, requester="", ref=job_ref())
    await service.insert(own)
    found = await service.service.jobs.look_up(job_ref(), timeout=1.0)

    assert (found.open_request is None) == is_hidden


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [({"person": ABE}, MayNotActAlone), ({"ask": an_ask(reason=" ")}, ReasonMissing)],
)
async def test_submission_that_acts_alone_without_right_or_reason_is_refused(
    new_service: NewService, changes: dict[str, Any], refusal: type[NotAllowed]
) -> None:
    service = new_service(GLASS)
    with pytest.raises(refusal):
        await service.service.submit(submission(RINA.id, **changes))

    assert await service.requests() == []


@pytest.mark.parametrize("alone", [True, False])
async def test_submission_to_a_read_only_project_is_refused(
    new_service: NewService, *, alone: bool
) -> None:
    service = new_service(replace(GLASS, read_only=True))
    with pytest.raises(ReadOnly):
        await service.service.submit(submission(RINA.id, alone=alone))

    assert await service.requests() == []


async def test_acting_alone_needs_no_approver_who_could_approve(new_service: NewService) -> None:
    service = new_service(replace(GLASS, approvers=People(users=frozenset({ADA.id}))))
    request = await service.service.submit(submission(ADA.id))

    assert request.acted_alone
    with pytest.raises(TooFewApprovers):
        await service.service.submit(submission(ADA.id, key="V2", alone=False))


async def test_checkbox_has_no_effect_without_required_approvals(new_service: NewService) -> None:
    service = new_service(policy(0))
    request = await service.service.submit(submission(RINA.id, person=person(RINA.id)))

    assert (request.state, request.acted_alone) == (State.APPROVED, False)


async def test_review_by_the_person_who_acted_is_refused(new_service: NewService) -> None:
    service = new_service(GLASS)
    request = await service.service.submit(submission(ADA.id))
    with pytest.raises(OwnAct):
        await service.service.review(request.id, ADA)
    assert (await service.service.review(request.id, ABE)).reviewed_by == ABE.id
