"""Who reads the reason and the link to the thread of a past request."""

import pytest

from bot.cancellation.lifecycle import Approval, Card, State
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Project
from bot.slack import home, lists
from bot.slack.directory import Directory
from bot.slack.lists import Viewer, viewer_of
from bot.slack.payloads import Actor
from tests.support.clock import NOON
from tests.support.domain import ABE, ADA, PROJECT_ID, RINA, a_request
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import IDENTITY, LINKS, FakeSlack

NAMED = People(groups=frozenset({"S0APPROVE"}))
REQUEST = a_request(
    state=State.AWAITING,
    approvals_needed=2,
    reason="a leaver's laptop",
    asked_in="G0SECRET",
    approvals=(Approval(user=ABE.id, at=NOON),),
    card=Card(channel="G0SECRET", ts="1.2"),
)


def shown_to(viewer: Viewer) -> str:
    """Return the texts of the request in `history` and in Home for this viewer."""
    past = viewer.readable(samples.past_of(REQUEST))
    known = {REQUEST.ref: samples.JOB}
    waiting = home.RequestParts(viewer, LINKS, lambda _ref: Policy(), known).waiting([REQUEST])
    return f"{lists.request_list([past], {}, LINKS)} {waiting}"


@pytest.mark.parametrize(
    ("viewer", "reads"),
    [
        (Viewer(ids=frozenset({RINA.id}), channel="D0OTHER"), True),
        (Viewer(ids=frozenset({ABE.id}), channel="D0OTHER"), True),
        (Viewer(ids=frozenset({ADA.id}), channel="G0SECRET"), True),
        (Viewer(ids=frozenset({ADA.id}), channel="C0OPS", approves=lambda _ref: True), True),
        (Viewer(ids=frozenset({ADA.id}), channel="C0OPS"), False),
    ],
    ids=["requester", "who decided", "channel of the command", "named approver", "anyone else"],
)
def test_reason_and_thread_are_shown_to_people_concerned(viewer: Viewer, *, reads: bool) -> None:
    text = shown_to(viewer)

    assert text.count("laptop") == (2 if reads else 0)
    assert text.count("archives/G0SECRET") == (2 if reads else 0)
    assert text.count(REQUEST.ref.job_id) >= 2


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        (Policy(approvals=1, approvers=NAMED, approvers_named=True), True),
        (Policy(approvals=1, approvers=EVERYONE), False),
        (Policy(approvals=1, requesters=NAMED, approvers=NAMED), False),
    ],
    ids=["named", "everyone", "unset"],
)
async def test_only_named_approvers_read_reasons(policy: Policy, *, names: bool) -> None:
    assert await approves(policy, FakeSlack()) is names


async def approves(policy: Policy, slack: FakeSlack) -> bool:
    project = Project(id=PROJECT_ID, name="shop", policies=Policies(policy), atlas=FakeAtlas({}))
    actor = Actor(id=ADA.id, team=ADA.team, is_outsider=False)
    viewer = await viewer_of(Directory(slack, IDENTITY), actor, "C0OPS", [project])
    return viewer.approves(REQUEST.ref)


async def test_reasons_are_hidden_while_slack_does_not_answer() -> None:
    slack = FakeSlack()
    slack.respond("usergroups.users.list", "internal_error")

    assert not await approves(Policy(approvals=1, approvers=NAMED, approvers_named=True), slack)
