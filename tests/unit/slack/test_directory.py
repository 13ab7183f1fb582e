"""Who people are: what they may do when Slack answers, and nothing when it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from bot.cancellation.people import EVERYONE, Kind, People
from bot.slack.directory import HOLDS, Directory, kind_of
from bot.slack.errors import DirectoryError
from bot.slack.identity import Identity
from bot.slack.payloads import Actor
from tests.support.domain import Clock
from tests.unit.slack.fake_slack import HOME, IDENTITY, FakeSlack

RINA = Actor(id="U0RINA", team=HOME, is_outsider=False)
OLGA = Actor(id="U0OLGA", team="T0OTHER", is_outsider=True)
GROUP = People(groups=frozenset({"S0APPROVE"}))
NAMED = People(users=frozenset({"U0RINA", "U0OLGA"}))


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(slack: FakeSlack, clock: Clock) -> Directory:
    return Directory(slack, IDENTITY, patience=0.05, clock=clock.monotonic)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({}, Kind.MEMBER),
        ({"is_restricted": True}, Kind.GUEST),
        ({"is_restricted": True, "is_ultra_restricted": True}, Kind.GUEST),
        ({"is_bot": True}, Kind.BOT),
        ({"deleted": True}, Kind.DEACTIVATED),
        ({"is_stranger": True}, Kind.OUTSIDER),
        ({"team_id": "T0OTHER"}, Kind.OUTSIDER),
        ({"id": ""}, Kind.OUTSIDER),
    ],
)
def test_only_a_plain_full_member_is_one(flags: dict[str, Any], kind: Kind) -> None:
    user = {"id": "U1", "team_id": HOME, **flags}

    assert kind_of(user, IDENTITY) is kind


def test_a_person_of_another_workspace_of_our_organization_is_a_member() -> None:
    ours = Identity(team=HOME, user="U0BOT", enterprise="E0ORG")
    user = {"id": "U1", "team_id": "T0SISTER", "enterprise_user": {"enterprise_id": "E0ORG"}}

    assert kind_of(user, ours) is Kind.MEMBER


async def test_whoever_is_named_by_id_needs_no_look_up(
    directory: Directory, slack: FakeSlack
) -> None:
    person = await directory.person(RINA, NAMED)

    assert person in NAMED
    assert slack.calls == []


async def test_an_outsider_has_no_rights_unless_named(
    directory: Directory, slack: FakeSlack
) -> None:
    person = await directory.person(OLGA, EVERYONE)

    assert person.kind is Kind.OUTSIDER
    assert person not in EVERYONE
    assert person in NAMED
    assert slack.calls == []


async def test_an_id_of_ours_that_comes_with_another_team_is_not_our_person(
    directory: Directory,
) -> None:
    stranger = Actor(id="U0RINA", team="T0OTHER", is_outsider=True)

    with pytest.raises(DirectoryError, match="another workspace"):
        await directory.person(stranger, NAMED)


async def test_a_yes_to_somebody_who_acts_is_asked_of_slack_anew(
    directory: Directory, slack: FakeSlack, clock: Clock
) -> None:
    ada = Actor(id="U0ADA", team=HOME, is_outsider=False)
    assert await directory.person(ada, GROUP) in GROUP
    clock.forward(1)
    slack.says("usergroups.users.list", {"users": []})

    assert await directory.acting(ada, GROUP) not in GROUP


async def test_a_no_may_come_from_memory(
    directory: Directory, slack: FakeSlack, clock: Clock
) -> None:
    assert await directory.person(RINA, GROUP) not in GROUP
    clock.forward(1)
    asked = len(slack.calls)

    assert await directory.acting(RINA, GROUP) not in GROUP
    assert len(slack.calls) == asked


async def test_what_slack_said_a_moment_ago_counts_only_where_it_asks_to_slow_down(
    directory: Directory, slack: FakeSlack, clock: Clock
) -> None:
    ada = Actor(id="U0ADA", team=HOME, is_outsider=False)
    assert await directory.person(ada, GROUP) in GROUP
    clock.forward(1)
    slack.says("usergroups.users.list", "ratelimited", "internal_error")

    assert await directory.acting(ada, GROUP) in GROUP
    with pytest.raises(DirectoryError, match="internal_error"):
        await directory.acting(ada, GROUP)


async def test_groups_are_asked_only_where_they_matter(
    directory: Directory, slack: FakeSlack
) -> None:
    await directory.person(RINA, EVERYONE)

    assert slack.methods == ["users.info"]


async def test_a_member_of_the_group_is_in_it_and_others_are_not(directory: Directory) -> None:
    ada = await directory.person(Actor(id="U0ADA", team=HOME, is_outsider=False), GROUP)
    rina = await directory.person(RINA, GROUP)

    assert ada in GROUP
    assert rina not in GROUP


async def test_the_members_of_several_groups_are_taken_together(
    directory: Directory, slack: FakeSlack
) -> None:
    slack.says("usergroups.users.list", {"users": ["U1"]}, {"users": ["U2"]})

    assert await directory.members_of(["S1", "S2"]) == {"U1", "U2"}
    assert await directory.members_of([]) == frozenset()


async def test_guests_of_an_approving_group_are_no_approvers(
    directory: Directory, slack: FakeSlack
) -> None:
    slack.says("usergroups.users.list", {"users": ["U1", "U2", "U3", "U4"]})
    ours = {"team_id": HOME}
    slack.says(
        "users.info",
        {"user": {"id": "U1", "is_restricted": True, **ours}},
        "user_not_visible",
        {"user": {"id": "U3", **ours}},
        "internal_error",
    )

    assert await directory.able_in(["S1"], 3) == {"U3", "U4"}


async def test_of_a_group_only_as_many_are_looked_up_as_are_needed(
    directory: Directory, slack: FakeSlack
) -> None:
    many = [f"U{number:03d}" for number in range(100)]
    slack.says("usergroups.users.list", {"users": many})
    slack.says("users.info", *({"user": {"id": user, "team_id": HOME}} for user in many[:2]))

    assert await directory.able_in(["S1"], 2) >= {"U000", "U001"}
    assert slack.methods.count("users.info") == 2


async def test_answers_hold_for_a_minute(
    directory: Directory, slack: FakeSlack, clock: Clock
) -> None:
    await directory.members_of(["S1"])
    clock.forward(HOLDS - 1)
    await directory.members_of(["S1"])
    kept = len(slack.calls)
    clock.forward(2)
    await directory.members_of(["S1"])

    assert (kept, len(slack.calls)) == (1, 2)


async def test_one_question_is_in_flight_for_many_who_wait(
    directory: Directory, slack: FakeSlack
) -> None:
    gate = slack.scripts["usergroups.users.list"].gate = asyncio.Event()
    waiting = [asyncio.create_task(directory.members_of(["S1"])) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*waiting)

    assert answers == [{"U0ADA", "U0ABE"}] * 5
    assert len(slack.calls) == 1


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("missing_scope", "The bot lacks a scope"),
        ("plan_upgrade_required", "has no user groups"),
        ("no_such_subteam", "does not exist"),
        ("ratelimited", "Slack answered ratelimited"),
        (aiohttp.ServerDisconnectedError(), "Slack did not answer in time"),
    ],
)
async def test_without_an_answer_nobody_has_rights_and_the_sentence_says_why(
    directory: Directory, slack: FakeSlack, failure: str | Exception, sentence: str
) -> None:
    slack.says("usergroups.users.list", failure)

    with pytest.raises(DirectoryError, match=sentence) as caught:
        await directory.person(RINA, GROUP)
    assert "nothing was done" in str(caught.value)


async def test_a_failure_is_not_remembered(directory: Directory, slack: FakeSlack) -> None:
    slack.says("users.info", "fatal_error")
    with pytest.raises(DirectoryError):
        await directory.person(RINA, EVERYONE)

    assert await directory.person(RINA, EVERYONE) in EVERYONE


async def test_a_slow_answer_is_not_waited_for_but_found_by_the_next_click(
    directory: Directory, slack: FakeSlack
) -> None:
    gate = slack.scripts["users.info"].gate = asyncio.Event()
    with pytest.raises(DirectoryError, match="did not answer in time"):
        await directory.person(RINA, EVERYONE)
    gate.set()
    await directory.person(RINA, EVERYONE)

    assert slack.methods == ["users.info"]
