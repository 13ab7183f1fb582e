"""People and groups: what Slack says, how long it counts, and what counts while Slack is silent."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import EVERYONE, Kind, People
from bot.slack.client import Identity
from bot.slack.directory import LAST_ANSWER_HOLDS, MAX_AGE, Directory, read_person
from bot.slack.errors import RateLimited, SlackError, SlackUnavailable, UnknownPerson
from tests.support.clock import FakeClock, SimulatedTime
from tests.support.polling import wait_until

Json = dict[str, Any]
TEAM, GROUP = "T0ACME", "S0DBA"
ORDINARY: Json = {"id": "U0RINA", "team_id": TEAM, "profile": {"email": "rina@shop.example"}}


@dataclass
class FakeSlack:
    """Slack's users and groups; `error` is raised by every call while it is set."""

    accounts: dict[str, Json] = field(default_factory=lambda: {"U0RINA": ORDINARY})
    groups: dict[str, list[str]] = field(default_factory=lambda: {GROUP: ["U0RINA"]})
    error: SlackError | None = None
    gate: asyncio.Event | None = None
    calls: Counter[str] = field(default_factory=Counter)

    async def users_info(self, *, user: str) -> Json:
        await self._call(user)
        if user not in self.accounts:
            raise UnknownPerson("user_not_found")
        return {"user": self.accounts[user]}

    async def usergroups_users_list(self, *, usergroup: str) -> Json:
        await self._call(usergroup)
        if usergroup not in self.groups:
            raise UnknownPerson("no_such_subteam")
        return {"users": self.groups[usergroup]}

    async def _call(self, key: str) -> None:
        self.calls[key] += 1
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error


@dataclass
class Environment:
    slack: FakeSlack = field(default_factory=FakeSlack)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        client = cast(AsyncWebClient, self.slack)
        self.directory = Directory(client, IDENTITY, self.clock.monotonic)


IDENTITY = Identity(team=TEAM, user="U0BOT")
POLICY = People(groups=frozenset({GROUP}))


@pytest.fixture
def env() -> Environment:
    return Environment()


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


async def test_member_has_the_groups_of_the_policy_that_list_them(env: Environment) -> None:
    person = await env.directory.person("U0RINA", [GROUP, "S0GONE"])

    assert person.groups == {GROUP}
    assert person.email == "rina@shop.example"


@pytest.mark.parametrize("account", [{"is_restricted": True}, {"deleted": True}, {"is_bot": True}])
async def test_only_a_full_member_has_a_right_by_a_group(env: Environment, account: Json) -> None:
    env.slack.accounts["U0RINA"] = ORDINARY | account

    assert await env.directory.person("U0RINA", [GROUP]) not in POLICY | EVERYONE


async def test_person_whom_slack_does_not_know_counts_as_deactivated(env: Environment) -> None:
    assert (await env.directory.person("U0GONE", [])).kind is Kind.DEACTIVATED


@pytest.mark.parametrize(
    "body",
    [
        {"user": {"id": "U0RINA", "team_id": "T0OTHER"}},
        {"user_id": "U0RINA", "team_id": "T0OTHER"},
    ],
)
async def test_sender_of_another_organization_is_in_no_group(env: Environment, body: Json) -> None:
    person = await env.directory.acting(body, POLICY)

    assert (person.kind, person.groups) == (Kind.OUTSIDER, frozenset())
    assert person not in POLICY | EVERYONE


@pytest.mark.parametrize(
    "body", [{"user": {"id": "U0RINA", "team_id": TEAM}}, {"user_id": "U0RINA", "team_id": TEAM}]
)
async def test_sender_of_a_click_or_a_command_is_identified(env: Environment, body: Json) -> None:
    assert await env.directory.acting(body, POLICY) in POLICY


async def test_right_that_was_lost_counts_for_at_most_30_seconds(env: Environment) -> None:
    await env.directory.person("U0RINA", [GROUP])
    env.slack.groups[GROUP] = []
    env.clock.advance(MAX_AGE)
    young = await env.directory.person("U0RINA", [GROUP])
    env.clock.advance(1)
    old = await env.directory.person("U0RINA", [GROUP])

    assert young.groups == {GROUP}
    assert not old.groups
    assert env.slack.calls == {"U0RINA": 2, GROUP: 2}


async def test_last_answer_counts_for_ten_minutes_while_slack_is_silent(env: Environment) -> None:
    await env.directory.person("U0RINA", [GROUP])
    env.slack.error = SlackUnavailable()
    env.clock.advance(LAST_ANSWER_HOLDS)

    assert (await env.directory.person("U0RINA", [GROUP])).groups == {GROUP}
    env.clock.advance(1)
    with pytest.raises(RightsNotChecked):
        await env.directory.person("U0RINA", [GROUP])


async def test_unknown_person_is_not_checked_while_slack_is_silent(env: Environment) -> None:
    env.slack.error = SlackUnavailable()

    with pytest.raises(RightsNotChecked):
        await env.directory.resolve(["U0RINA"], [])


async def test_group_that_cannot_be_read_gives_no_right(env: Environment) -> None:
    await env.directory.person("U0RINA", [])
    env.slack.error = SlackUnavailable()

    with pytest.raises(RightsNotChecked):
        await env.directory.person("U0RINA", [GROUP])


@pytest.mark.parametrize("account", [{"deleted": True}, {"is_bot": True}])
async def test_deactivated_account_of_another_organization_has_no_right_by_its_id(
    env: Environment, account: Json
) -> None:
    env.slack.accounts["U0RINA"] = ORDINARY | account
    body = {"user": {"id": "U0RINA", "team_id": "T0OTHER"}}

    assert await env.directory.acting(body, POLICY) not in People(users=frozenset({"U0RINA"}))


async def test_simultaneous_clicks_share_the_reads_of_people_and_groups(env: Environment) -> None:
    env.slack.gate = asyncio.Event()
    clicks = [asyncio.create_task(env.directory.person("U0RINA", [GROUP])) for _ in range(60)]
    await wait_until(lambda: len(env.slack.calls) == 2)
    both_began = dict(env.slack.calls)
    env.slack.gate.set()
    people = await asyncio.gather(*clicks)

    assert both_began == env.slack.calls == {"U0RINA": 1, GROUP: 1}
    assert {person.groups for person in people} == {frozenset({GROUP})}


async def test_click_does_not_wait_for_slack_longer_than_its_acknowledgement_may(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.directory.TIMEOUT", 0.01)
    env.slack.gate = asyncio.Event()
    with pytest.raises(RightsNotChecked, match="did not answer in time"):
        await env.directory.person("U0RINA", [GROUP])
    env.slack.gate.set()
    await asyncio.sleep(0.01)  # the answer that came late counts for the next click

    assert (await env.directory.person("U0RINA", [GROUP])).groups == {GROUP}
    assert env.slack.calls == {"U0RINA": 1, GROUP: 1}


async def test_limit_of_calls_refuses_nobody_and_is_waited_for(env: Environment) -> None:
    await env.directory.person("U0RINA", [GROUP])
    env.clock.advance(MAX_AGE + 1)
    env.slack.error = RateLimited("ratelimited", 20.0)
    limited = [await env.directory.person("U0RINA", [GROUP]) for _ in range(60)]
    env.slack.error = None
    env.clock.advance(20)
    env.slack.groups[GROUP] = []
    later = await env.directory.person("U0RINA", [GROUP])

    assert {person.groups for person in limited} == {frozenset({GROUP})}
    assert not later.groups
    assert env.slack.calls == {"U0RINA": 3, GROUP: 3}


@pytest.mark.parametrize("count", [1, 5, 12])
async def test_people_whom_policies_name_are_read_before_they_click(count: int) -> None:
    """Within Slack's limits a minute: 20 reads of groups and 100 of people."""
    time, slack = SimulatedTime(), FakeSlack()
    groups = [f"S{number:02}" for number in range(count)]
    slack.groups = {group: ["U0RINA"] for group in groups}
    slack.accounts |= {f"U{number:02}": ORDINARY for number in range(60)}
    client = cast(AsyncWebClient, slack)
    directory = Directory(client, IDENTITY, time.monotonic, sleep=time.sleep)
    running = asyncio.create_task(directory.run(groups, [f"U{number:02}" for number in range(60)]))
    for _ in range(300):
        time.advance(1)
        for _ in range(20):
            await asyncio.sleep(0)
    calls, slack.error = dict(slack.calls), SlackUnavailable()
    people = [await directory.person(user, groups) for user in ("U0RINA", "U00", "U59")]
    running.cancel()

    assert sum(calls[group] for group in groups) <= 5 * 16
    assert sum(number for user, number in calls.items() if user.startswith("U")) <= 5 * 45
    assert people[0].groups == set(groups)
    if count <= 5:  # a click waits for no group
        assert all(calls[group] >= 300 / MAX_AGE for group in groups)
