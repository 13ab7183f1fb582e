"""The check of rights: which people are read from Slack, and operators, who need no answer."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from bot.atlas import JobRef
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Approval, Request
from bot.cancellation.people import People, Person, operator
from bot.cancellation.policy import Policies, Policy, may_decide, may_request
from bot.cancellation.starter import NOT_READ, StartedBy
from bot.services.projects import Project, Projects
from bot.services.rights import ResolvePeople, RightsCheck
from tests.support.clock import NOON
from tests.support.domain import ADA, PROJECT_ID, RINA, a_request, resolve_members
from tests.support.fake_atlas import FakeAtlas

ALICE = operator("cli:alice")
NAMED = Policy(requesters=People(users=frozenset({ADA.id})))


def rights(resolve: ResolvePeople | None, policy: Policy = NAMED) -> RightsCheck:
    shop = Project(id=PROJECT_ID, name="shop-prod", policies=Policies(policy), atlas=FakeAtlas({}))
    return RightsCheck(Projects([shop]), resolve)


async def judged(check: RightsCheck, request: Request) -> Judgement:
    return await check.judge(request, await check.people_of(request))


async def unreachable(_users: Collection[str], _groups: Collection[str]) -> dict[str, Person]:
    raise RightsNotChecked("Slack did not answer.")


def test_operator_may_ask_but_not_approve() -> None:
    assert may_request(NAMED, ALICE) is None
    assert may_decide(Policy(), RINA.id, ALICE) is not None


async def test_operators_request_needs_no_answer_of_slack() -> None:
    judgement = await judged(rights(unreachable), a_request(requester=ALICE.id))

    assert judgement.allows_delete


async def test_approvals_of_an_operators_request_are_judged_by_slack() -> None:
    request = a_request(
        requester=ALICE.id, approvals_needed=1, approvals=(Approval(user=RINA.id, at=NOON),)
    )

    assert (await judged(rights(resolve_members, Policy(approvals=1)), request)).allows_delete
    with pytest.raises(RightsNotChecked):
        await judged(rights(unreachable, Policy(approvals=1)), request)


async def test_command_line_runs_requests_of_others_unless_they_have_approvals() -> None:
    approved = a_request(approvals=(Approval(user=RINA.id, at=NOON),))

    assert (await judged(rights(None), a_request())).allows_delete
    with pytest.raises(RightsNotChecked):
        await judged(rights(None), approved)


async def test_slack_is_asked_for_the_people_of_a_request_and_the_groups_that_decide() -> None:
    groups = {name: People(groups=frozenset({name})) for name in ("ask", "approve", "alone")}
    policy = Policy(
        requesters=groups["ask"], approvers=groups["approve"], break_glass=groups["alone"]
    )
    asked: list[tuple[set[str], set[str]]] = []

    async def resolve(users: Collection[str], groups: Collection[str]) -> dict[str, Person]:
        asked.append((set(users), set(groups)))
        return {}

    check = rights(resolve, policy)
    await check.people_of(a_request(approvals=(Approval(user=ADA.id, at=NOON),)), "U0NEW")
    await check.people_of(a_request(), "U0NEW")
    await check.people_of(a_request(acted_alone=True))
    await check.people_of(a_request(requester=""))

    assert asked == [
        ({RINA.id, ADA.id, "U0NEW"}, {"ask", "approve"}),
        ({RINA.id, "U0NEW"}, {"ask", "approve"}),
        ({RINA.id}, {"ask", "alone"}),
    ]
    assert await check.people_of(a_request(requester=ALICE.id)) == {ALICE.id: ALICE}
    assert await rights(None).people_of(a_request(requester=ALICE.id)) == {ALICE.id: ALICE}
    assert await rights(None).people_of(a_request(requester="")) == {}


async def test_starter_is_read_for_a_request_of_the_bot_itself() -> None:
    asked: list[JobRef] = []

    async def starter_of(ref: JobRef) -> StartedBy:
        asked.append(ref)
        return NOT_READ

    check = replace(rights(resolve_members), starter_of=starter_of)
    await judged(check, a_request())
    await judged(check, request := a_request(requester=""))

    assert asked == [request.ref]
