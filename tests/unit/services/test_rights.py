"""The check of rights before a DELETE, and what counts while Slack is silent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import People, Person
from bot.cancellation.policy import Policy
from bot.cancellation.request import Approval, Request, State
from bot.services.rights import DECISION_HOLDS, Rights, nobody_answers
from tests.support.domain import ADA, EVE, GIL, POLICY, RINA, START, download, request

APPROVED = request(State.CANCELLING, approvals=(Approval(user="U0ADA", at=START),))
KNOWN = {person.id: person for person in (RINA, ADA, GIL, EVE)}


@dataclass
class FakeDirectory:
    """Slack's people; remembers who was asked for."""

    asked: list[tuple[set[str], set[str]]] = field(default_factory=list)

    async def resolve(
        self, users: Collection[str], groups: Collection[str]
    ) -> Mapping[str, Person]:
        self.asked.append((set(users), set(groups)))
        return {user: KNOWN[user] for user in users}


@pytest.mark.parametrize(
    ("about", "asked"),
    [
        (APPROVED, {"U0RINA", "U0ADA"}),
        (replace(APPROVED, alone="U0GIL"), {"U0GIL"}),
        (replace(APPROVED, is_automatic=True), None),
        (replace(APPROVED, requester="cli:root", alone="cli:root"), None),
    ],
)
async def test_rights_are_asked_of_those_whose_decision_counts(
    about: Request, asked: set[str] | None
) -> None:
    slack = FakeDirectory()
    judgement = await Rights(slack.resolve).judge(about, download(), POLICY, START)

    assert judgement.allows_delete
    assert [users for users, _ in slack.asked] == ([asked] if asked else [])


async def test_groups_of_all_roles_are_resolved() -> None:
    groups = {name: People(groups=frozenset({name})) for name in ("S0ASK", "S0APP", "S0GLASS")}
    policy = Policy(
        requesters=groups["S0ASK"], approvers=groups["S0APP"], break_glass=groups["S0GLASS"]
    )
    slack = FakeDirectory()
    await Rights(slack.resolve).judge(APPROVED, download(), policy, START)

    assert slack.asked[0][1] == set(groups)


async def test_today_s_policy_voids_an_approval() -> None:
    policy = replace(POLICY, approvers=People(users=frozenset({"U0ALAN"})))
    judgement = await Rights(FakeDirectory().resolve).judge(APPROVED, download(), policy, START)

    assert judgement.voided == {"U0ADA"}
    assert judgement.missing == 1


@pytest.mark.parametrize("is_read_only", [True, False])
async def test_silent_slack_leaves_the_decision_but_not_a_read_only_project(
    is_read_only: bool,
) -> None:
    policy = replace(POLICY, read_only=is_read_only)
    judgement = await Rights(nobody_answers).judge(APPROVED, download(), policy, START)

    assert judgement.allows_delete is not is_read_only


@pytest.mark.parametrize("started", [None, START])
async def test_decision_counts_for_ten_minutes_also_after_a_restart(
    started: datetime | None,
) -> None:
    about = replace(APPROVED, run_started_at=started, changed_at=START)
    rights, ends = Rights(nobody_answers), START + DECISION_HOLDS
    before = ends - timedelta(seconds=1)

    assert (await rights.judge(about, download(), POLICY, before)).allows_delete
    with pytest.raises(RightsNotChecked):
        await rights.judge(about, download(), POLICY, ends)
