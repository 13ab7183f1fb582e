"""People and groups: what Slack says, how long it counts, and what counts while Slack is silent."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import EVERYONE, Kind, People, Person
from bot.slack.directory import LAST_ANSWER_HOLDS, MAX_AGE, Directory, read_person
from bot.slack.errors import RateLimited, SlackUnavailable
from bot.tasks import cancel_and_wait
from tests.support.clock import FakeClock, SimulatedLoop, simulate
from tests.support.domain import TEAM
from tests.support.polling import wait_until
from tests.unit.slack.fake_slack import IDENTITY, FakeSlack

Json = dict[str, Any]
GROUP = "S0DBA"
ORDINARY: Json = {"id": "U0RINA", "team_id": TEAM, "profile": {"email": "rina@shop.example"}}
POLICY = People(groups=frozenset({GROUP}))


@pytest.fixture
def slack() -> FakeSlack:
    slack = FakeSlack()
    slack.accounts = {"U0RINA": ORDINARY}
    slack.groups = {GROUP: ["U0RINA"]}
    return slack


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def directory(slack: FakeSlack, clock: FakeClock) -> Directory:
    return Directory(slack, IDENTITY, clock.monotonic)


def reads(slack: FakeSlack) -> Counter[str]:
    """Return how often each person and each group was read."""
    return Counter(given.get("user") or given["usergroup"] for _, given in slack.calls)


@pytest.mark.parametrize(
    ("account", "kind"),
    [
        ({}, Kind.MEMBER),
        ({"deleted": True}, Kind.DEACTIVATED),
        ({"deleted": True, "is_bot": True}, Kind.DEACTIVATED),
        ({"is_bot": True}, Kind.BOT),
        ({"id": "USLACKBOT"}, Kind.BOT),
        ({"is_restricted": True}, Kind.GUEST),
        ({"is_ultra_restricted": True}, Kind.GUEST),
        ({"team_id": "T0OTHER"}, Kind.OUTSIDER),
        ({"is_stranger": True}, Kind.OUTSIDER),
    ],
)
def test_account_is_of_the_kind_that_slack_says(account: Json, kind: Kind) -> None:
    assert read_person("U0RINA", ORDINARY | account, IDENTITY).kind is kind


async def test_member_has_the_groups_of_the_policy_that_list_them(directory: Directory) -> None:
    person = await directory.person("U0RINA", [GROUP, "S0GONE"])

    assert person.groups == {GROUP}
    assert person.email == "rina@shop.example"


@pytest.mark.parametrize("account", [{"is_restricted": True}, {"deleted": True}, {"is_bot": True}])
async def test_only_a_full_member_has_a_right_by_a_group(
    directory: Directory, slack: FakeSlack, account: Json
) -> None:
    slack.accounts["U0RINA"] = ORDINARY | account

    assert await directory.person("U0RINA", [GROUP]) not in POLICY | EVERYONE


async def test_person_whom_slack_does_not_know_counts_as_deactivated(directory: Directory) -> None:
    assert (await directory.person("U0GONE", [])).kind is Kind.DEACTIVATED


@pytest.mark.parametrize(
    "body",
    [
        {"user": {"id": "U0RINA", "team_id": "T0OTHER"}},
        {"user_id": "U0RINA", "team_id": "T0OTHER"},
    ],
)
async def test_sender_of_another_organization_is_in_no_group(
    directory: Directory, body: Json
) -> None:
    person = await directory.acting(body, POLICY)

    assert (person.kind, person.groups) == (Kind.OUTSIDER, frozenset())
    assert person not in POLICY | EVERYONE


@pytest.mark.parametrize(
    "body", [{"user": {"id": "U0RINA", "team_id": TEAM}}, {"user_id": "U0RINA", "team_id": TEAM}]
)
async def test_sender_of_a_click_or_a_command_is_identified(
    directory: Directory, body: Json
) -> None:
    assert await directory.acting(body, POLICY) in POLICY


async def test_right_that_was_lost_counts_for_at_most_30_seconds(
    directory: Directory, slack: FakeSlack, clock: FakeClock
) -> None:
    await directory.person("U0RINA", [GROUP])
    slack.groups[GROUP] = []
    clock.advance(MAX_AGE)
    young = await directory.person("U0RINA", [GROUP])
    clock.advance(1)
    old = await directory.person("U0RINA", [GROUP])

    assert young.groups == {GROUP}
    assert not old.groups
    assert reads(slack) == {"U0RINA": 2, GROUP: 2}


async def test_last_answer_counts_for_ten_minutes_while_slack_is_silent(
    directory: Directory, slack: FakeSlack, clock: FakeClock
) -> None:
    await directory.person("U0RINA", [GROUP])
    slack.outage = SlackUnavailable()
    clock.advance(LAST_ANSWER_HOLDS)

    assert (await directory.person("U0RINA", [GROUP])).groups == {GROUP}
    clock.advance(1)
    with pytest.raises(RightsNotChecked):
        await directory.person("U0RINA", [GROUP])


async def test_unknown_person_is_not_checked_while_slack_is_silent(
    directory: Directory, slack: FakeSlack
) -> None:
    slack.outage = SlackUnavailable()

    with pytest.raises(RightsNotChecked):
        await directory.resolve(["U0RINA"], [])


async def test_group_that_cannot_be_read_gives_no_right(
    directory: Directory, slack: FakeSlack
) -> None:
    await directory.person("U0RINA", [])
    slack.outage = SlackUnavailable()

    with pytest.raises(RightsNotChecked):
        await directory.person("U0RINA", [GROUP])


@pytest.mark.parametrize("account", [{"deleted": True}, {"is_bot": True}])
async def test_deactivated_account_of_another_organization_has_no_right_by_its_id(
    directory: Directory, slack: FakeSlack, account: Json
) -> None:
    slack.accounts["U0RINA"] = ORDINARY | account
    body = {"user": {"id": "U0RINA", "team_id": "T0OTHER"}}

    assert await directory.acting(body, POLICY) not in People(users=frozenset({"U0RINA"}))


async def test_simultaneous_clicks_share_the_reads_of_people_and_groups(
    directory: Directory, slack: FakeSlack
) -> None:
    gate = asyncio.Event()
    slack.gates |= {"users.info": gate, "usergroups.users.list": gate}
    clicks = [asyncio.create_task(directory.person("U0RINA", [GROUP])) for _ in range(60)]
    await wait_until(lambda: len(reads(slack)) == 2)
    both_began = reads(slack)
    gate.set()
    people = await asyncio.gather(*clicks)

    assert both_began == reads(slack) == {"U0RINA": 1, GROUP: 1}
    assert {person.groups for person in people} == {frozenset({GROUP})}


async def test_click_does_not_wait_for_slack_longer_than_its_acknowledgement_may(
    directory: Directory, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.directory.TIMEOUT", 0.01)
    gate = asyncio.Event()
    slack.gates |= {"users.info": gate, "usergroups.users.list": gate}
    with pytest.raises(RightsNotChecked, match="did not answer in time"):
        await directory.person("U0RINA", [GROUP])
    gate.set()
    await asyncio.sleep(0.01)  # the answer that came late counts for the next click

    assert (await directory.person("U0RINA", [GROUP])).groups == {GROUP}
    assert reads(slack) == {"U0RINA": 1, GROUP: 1}


async def test_limit_of_calls_refuses_nobody_and_is_waited_for(
    directory: Directory, slack: FakeSlack, clock: FakeClock
) -> None:
    await directory.person("U0RINA", [GROUP])
    clock.advance(MAX_AGE + 1)
    slack.outage = RateLimited("ratelimited", 20.0)
    limited = [await directory.person("U0RINA", [GROUP]) for _ in range(60)]
    slack.outage = None
    clock.advance(20)
    slack.groups[GROUP] = []
    later = await directory.person("U0RINA", [GROUP])

    assert {person.groups for person in limited} == {frozenset({GROUP})}
    assert not later.groups
    assert reads(slack) == {"U0RINA": 3, GROUP: 3}


@pytest.mark.parametrize("count", [1, 5, 12])
def test_people_whom_policies_name_are_read_before_they_click(count: int, slack: FakeSlack) -> None:
    """Within Slack's limits a minute: 20 reads of groups and 100 of people."""
    groups, users = [f"S{n:02}" for n in range(count)], [f"U{n:02}" for n in range(60)]
    slack.groups = {group: ["U0RINA"] for group in groups}
    slack.accounts |= dict.fromkeys(users, ORDINARY)

    async def click_after_five_minutes(loop: SimulatedLoop) -> tuple[Counter[str], Person]:
        directory = Directory(slack, IDENTITY, loop.time)
        running = asyncio.create_task(directory.run(groups, users))
        await asyncio.sleep(300)
        calls, slack.outage = reads(slack), SlackUnavailable()
        people = [await directory.person(user, groups) for user in ("U0RINA", "U00", "U59")]
        await cancel_and_wait(running)
        return calls, people[0]

    calls, rina = simulate(click_after_five_minutes)

    assert sum(calls[group] for group in groups) <= 5 * 16
    assert sum(number for user, number in calls.items() if user.startswith("U")) <= 5 * 45
    assert rina.groups == set(groups)
    if count <= 5:  # a click waits for no group
        assert all(calls[group] >= 300 / MAX_AGE for group in groups)
