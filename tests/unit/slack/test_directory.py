"""People and groups: what Slack says, how long it counts, and what counts while Slack is silent."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Any

import pytest
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import EVERYONE, Kind, People, Person
from bot.slack.context import ACK_TIMEOUT
from bot.slack.directory import Directory, read_person
from bot.slack.errors import NoUserGroups, RateLimited, SlackUnavailable
from bot.tasks import cancel_and_wait
from tests.support.clock import FakeClock, SimulatedLoop, most_in, simulate
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
    return Counter(name_in(given) for _, given in slack.calls)


def name_in(given: Json) -> str:
    """Return which person or group a call asks about."""
    return str(given.get("user") or given["usergroup"])


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


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ({}, "U0RINA"),
        ({"real_name": "Rina Ray"}, "Rina Ray"),
        ({"real_name": "Rina Ray", "profile": {"display_name": "rina"}}, "rina"),
    ],
)
def test_person_has_the_name_that_others_see(account: Json, name: str) -> None:
    assert read_person("U0RINA", ORDINARY | account, IDENTITY).name == name


async def test_people_before_a_delete_have_their_groups_of_now(directory: Directory) -> None:
    people = await directory.resolve(["U0RINA", "U0GONE"], [GROUP])

    assert {user: person.groups for user, person in people.items()} == {
        "U0RINA": {GROUP},
        "U0GONE": frozenset(),
    }


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

    assert (person.kind, person.team, person.groups) == (Kind.OUTSIDER, "T0OTHER", frozenset())
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
    clock.advance(30)
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
    clock.advance(600)

    assert (await directory.person("U0RINA", [GROUP])).groups == {GROUP}
    clock.advance(1)
    with pytest.raises(RightsNotChecked):
        await directory.person("U0RINA", [GROUP])


async def test_unknown_person_is_not_checked_while_slack_is_silent(
    directory: Directory, slack: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    slack.outage = SlackUnavailable()

    with pytest.raises(RightsNotChecked):
        await directory.resolve(["U0RINA"], [])
    assert caplog.messages == []  # asyncio would log an error in a callback


async def test_group_that_cannot_be_read_gives_no_right(
    directory: Directory, slack: FakeSlack
) -> None:
    await directory.person("U0RINA", [])
    slack.outage = SlackUnavailable()

    with pytest.raises(RightsNotChecked):
        await directory.person("U0RINA", [GROUP])


async def test_workspace_without_user_groups_takes_no_right_from_people_named_by_id(
    directory: Directory, slack: FakeSlack
) -> None:
    slack.failures["usergroups.users.list"] = [NoUserGroups("plan_upgrade_required")]
    person = await directory.person("U0RINA", [GROUP])

    assert person in People(users=frozenset({"U0RINA"}), groups=frozenset({GROUP}))
    assert person not in POLICY


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


def test_click_does_not_wait_for_slack_longer_than_its_acknowledgement_may(
    slack: FakeSlack,
) -> None:
    async def click_twice(loop: SimulatedLoop) -> tuple[float, Person]:
        directory = Directory(slack, IDENTITY, loop.time)
        gate = asyncio.Event()
        slack.gates |= {"users.info": gate, "usergroups.users.list": gate}
        with pytest.raises(RightsNotChecked, match="did not answer in time"):
            await directory.person("U0RINA", [GROUP])
        seconds = loop.time()
        gate.set()
        await asyncio.sleep(1)  # the answer that came late counts for the next click
        return seconds, await directory.person("U0RINA", [GROUP])

    seconds, person = simulate(click_twice)

    assert seconds < ACK_TIMEOUT
    assert person.groups == {GROUP}
    assert reads(slack) == {"U0RINA": 1, GROUP: 1}


async def test_limit_of_calls_refuses_nobody_and_is_waited_for(
    directory: Directory, slack: FakeSlack, clock: FakeClock
) -> None:
    await directory.person("U0RINA", [GROUP])
    clock.advance(31)
    slack.outage = RateLimited("ratelimited", 20.0)
    limited = [await directory.person("U0RINA", [GROUP]) for _ in range(60)]
    slack.outage = None
    clock.advance(20)
    slack.groups[GROUP] = []
    later = await directory.person("U0RINA", [GROUP])

    assert {person.groups for person in limited} == {frozenset({GROUP})}
    assert not later.groups
    assert reads(slack) == {"U0RINA": 3, GROUP: 3}


class TimedSlack(FakeSlack):
    """A workspace that notes when each person and each group was read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_at: defaultdict[str, list[float]] = defaultdict(list)

    async def api_call(self, api_method: str, **kwargs: Any) -> AsyncSlackResponse:
        answer = await super().api_call(api_method, **kwargs)
        self.read_at[name_in(kwargs["params"])].append(asyncio.get_running_loop().time())
        return answer

    def most_in_a_minute(self, names: Iterable[str]) -> int:
        moments = [moment for name in names for moment in self.read_at[name]]
        return most_in(60, moments) if moments else 0

    def longest_age(self, names: Iterable[str]) -> float:
        """Return how old an answer became before it was read again."""
        pairs = (pairwise(self.read_at[name]) for name in names)
        return max((later - earlier for earlier, later in chain(*pairs)), default=0)


@pytest.mark.parametrize(
    ("group_count", "member_count", "user_count"),
    [(0, 0, 150), (1, 0, 0), (1, 150, 0), (7, 10, 140), (40, 10, 0)],
)
def test_people_whom_policies_name_are_read_before_they_click(
    group_count: int, member_count: int, user_count: int
) -> None:
    """Within Slack's limits a minute: 20 reads of groups, and 100 of people with those who click.

    Slack may then be silent for five minutes.
    """
    groups = [f"S{number:02}" for number in range(group_count)]
    members = [f"U1{number:03}" for number in range(member_count)]
    users = [f"U2{number:03}" for number in range(user_count)]
    slack = TimedSlack()
    slack.groups = dict.fromkeys(groups, members)
    slack.accounts = dict.fromkeys([*members, *users], ORDINARY)

    async def click_after_a_quarter_of_an_hour(loop: SimulatedLoop) -> list[frozenset[str]]:
        directory = Directory(slack, IDENTITY, loop.time)
        running = asyncio.create_task(directory.run(groups, users))
        await asyncio.sleep(900)
        assert not running.done()
        await cancel_and_wait(running)
        slack.outage = SlackUnavailable()
        return [(await directory.person(user, groups)).groups for user in (*members, *users)]

    found = simulate(click_after_a_quarter_of_an_hour)

    assert found == [frozenset(groups)] * member_count + [frozenset()] * user_count
    assert slack.most_in_a_minute(groups) <= 20
    assert slack.most_in_a_minute([*members, *users]) <= 60
    assert slack.longest_age([*members, *users]) <= 300
    if group_count <= 7:  # a click waits for no group
        assert slack.longest_age(groups) <= 30
