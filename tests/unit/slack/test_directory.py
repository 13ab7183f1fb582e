"""Lookups of people: their rights by Slack's answer, and none without an answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import EVERYONE, Kind, People
from bot.slack.client import Identity
from bot.slack.directory import MAX_AGE, MAX_CANDIDATES, Directory
from bot.slack.errors import DEFAULT_RETRY_AFTER, CallLimits
from bot.slack.payloads import Actor, kind_of
from tests.support.clock import FakeClock
from tests.unit.slack.fake_slack import HOME, IDENTITY, FailingBudget, FakeBudget, FakeSlack

RINA = Actor(id="U0RINA", team=HOME, is_outsider=False)
ADA = Actor(id="U0ADA", team=HOME, is_outsider=False)
OLGA = Actor(id="U0OLGA", team="T0OTHER", is_outsider=True)
GRID = Identity(team=HOME, user="U0BOT", enterprise="E0ORG")
GROUP = People(groups=frozenset({"S0APPROVE"}))
NAMED = People(users=frozenset({"U0RINA", "U0OLGA"}))


@dataclass
class Env:
    """A directory with its fakes."""

    identity: Identity = IDENTITY
    timeout: float = 20.0
    slack: FakeSlack = field(default_factory=FakeSlack)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.directory = Directory(
            self.slack, self.identity, timeout=self.timeout, monotonic=self.clock.monotonic
        )


@pytest.fixture
def env() -> Env:
    return Env()


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
def test_kind_of_user_is_read_from_its_flags(flags: dict[str, Any], kind: Kind) -> None:
    user = {"id": "U1", "team_id": HOME, **flags}

    assert kind_of(user, IDENTITY) is kind


def on_grid(user: str, *teams: str, enterprise: str = "E0ORG") -> dict[str, Any]:
    """A user object of Enterprise Grid, whose id in the organization is `W1`."""
    grid = {"id": "W1", "enterprise_id": enterprise, "teams": [*teams]}
    return {"user": {"id": user, "team_id": teams[0], "enterprise_user": grid}}


@pytest.fixture
def grid() -> Env:
    return Env(GRID)


async def test_everyone_is_the_workspace_and_not_its_organization(grid: Env) -> None:
    grid.slack.respond(
        "users.info", on_grid("U0RINA", "T0SISTER", HOME), on_grid("U0SIS", "T0SISTER")
    )
    grid.slack.respond("usergroups.users.list", {"users": ["U0SIS"]})
    rina = await grid.directory.person(RINA, EVERYONE)
    sister = Actor(id="U0SIS", team="T0SISTER", is_outsider=False)
    colleague = await grid.directory.person(sister, EVERYONE)

    assert (rina.kind, colleague.kind) == (Kind.MEMBER, Kind.COLLEAGUE)
    assert rina in EVERYONE
    assert colleague not in EVERYONE
    assert colleague in People(users=frozenset({"U0SIS"}))
    assert await grid.directory.person(sister, GROUP) in GROUP


@pytest.mark.parametrize("people", [NAMED, EVERYONE], ids=["named", "everyone"])
async def test_click_of_another_organization_with_a_member_id_is_refused(
    grid: Env, people: People
) -> None:
    grid.slack.respond("users.info", on_grid("U0RINA", HOME))
    with pytest.raises(RightsNotChecked, match="another workspace"):
        await grid.directory.person(replace(RINA, team="T0OTHER"), people)


async def test_named_person_of_another_organization_has_the_right_on_grid_too(grid: Env) -> None:
    grid.slack.respond("users.info", on_grid("U0OLGA", "T0OTHER", enterprise="E0OTHER"))
    person = await grid.directory.person(replace(OLGA, is_outsider=False), NAMED)

    assert person.kind is Kind.OUTSIDER
    assert person in NAMED


async def test_both_ids_of_a_person_are_known_as_one(grid: Env) -> None:
    grid.slack.respond("users.info", on_grid("U0RINA", HOME), on_grid("W1", HOME))
    grid.slack.respond("usergroups.users.list", {"users": ["W1"]})
    people = await grid.directory.current_people(["U0RINA", "W1"], ["S0APPROVE"])

    assert people["U0RINA"].aliases == {"W1"}
    assert people["W1"].aliases == {"U0RINA"}
    assert people["U0RINA"] in GROUP
    assert people["U0RINA"] in People(users=frozenset({"W1"}))


async def test_person_named_by_id_needs_no_lookup(env: Env) -> None:
    person = await env.directory.person(RINA, NAMED)

    assert person in NAMED
    assert env.slack.calls == []


async def test_outsider_has_no_rights_unless_named(env: Env) -> None:
    person = await env.directory.person(OLGA, EVERYONE)

    assert person.kind is Kind.OUTSIDER
    assert person not in EVERYONE
    assert person in NAMED
    assert env.slack.calls == []


async def test_known_id_with_another_team_is_refused(env: Env) -> None:
    stranger = Actor(id="U0RINA", team="T0OTHER", is_outsider=True)
    with pytest.raises(RightsNotChecked, match="another workspace"):
        await env.directory.person(stranger, NAMED)


MEMBERS, NO_MEMBERS = {"users": ["U0ADA"]}, {"users": list[str]()}


@pytest.mark.parametrize("lists", [(MEMBERS, NO_MEMBERS), (NO_MEMBERS, MEMBERS)])
async def test_group_membership_of_an_acting_person_is_read_again(
    env: Env, lists: tuple[dict[str, list[str]], ...]
) -> None:
    env.slack.respond("usergroups.users.list", *lists)
    before = await env.directory.person(ADA, GROUP)
    env.clock.advance(1)
    now = await env.directory.acting_person(ADA, GROUP)

    assert [each in GROUP for each in (before, now)] == [each is MEMBERS for each in lists]


async def test_group_that_has_the_other_id_of_an_acting_person_is_read_again(grid: Env) -> None:
    grid.slack.respond("users.info", on_grid("U0RINA", HOME))
    grid.slack.respond("usergroups.users.list", {"users": ["W1"]}, {"users": []})
    assert await grid.directory.person(RINA, GROUP) in GROUP
    grid.clock.advance(1)

    assert await grid.directory.acting_person(RINA, GROUP) not in GROUP


async def test_cached_membership_counts_only_under_a_rate_limit(env: Env) -> None:
    assert await env.directory.person(ADA, GROUP) in GROUP
    env.clock.advance(1)
    env.slack.respond("usergroups.users.list", "ratelimited", "internal_error")

    assert await env.directory.acting_person(ADA, GROUP) in GROUP
    env.clock.advance(DEFAULT_RETRY_AFTER)
    with pytest.raises(RightsNotChecked, match="internal_error"):
        await env.directory.acting_person(ADA, GROUP)


@pytest.mark.parametrize(
    ("method", "read"),
    [
        ("usergroups.users.list", lambda directory, n: directory.members_of([f"S{n}"])),
        ("users.info", lambda directory, n: directory.current_people([f"U{n}"], [])),
        ("users.lookupByEmail", lambda directory, n: directory.member_with_email(f"{n}@x.example")),
    ],
)
async def test_no_call_is_made_before_slacks_retry_after_has_passed(
    env: Env, method: str, read: Callable[[Directory, int], Awaitable[object]]
) -> None:
    env.slack.respond(method, "ratelimited", {})
    for number in range(3):
        with pytest.raises(RightsNotChecked) as refused:
            await read(env.directory, number)
        env.clock.advance(1)
    assert refused.value.retry_after == DEFAULT_RETRY_AFTER - 2
    assert env.slack.methods == [method]
    env.clock.advance(2)

    await read(env.directory, 3)
    assert env.slack.methods == [method, method]


async def test_late_answer_without_retry_after_does_not_shorten_it(env: Env) -> None:
    env.slack.respond("users.info", "ratelimited", "fatal_error")
    with pytest.raises(RightsNotChecked):
        await env.directory.current_people(["U1", "U2"], [])
    with pytest.raises(RightsNotChecked, match="ratelimited"):
        await env.directory.current_people(["U3"], [])


async def test_group_is_not_read_while_the_budget_of_all_replicas_is_used_up(env: Env) -> None:
    limits = CallLimits(env.clock.monotonic, FakeBudget([0.0, 12.0]))
    directory = Directory(env.slack, IDENTITY, monotonic=env.clock.monotonic, limits=limits)
    await directory.current_people([], GROUP.groups)
    env.clock.advance(2)
    with pytest.raises(RightsNotChecked, match="as often as Slack allows") as refused:
        await directory.current_people([], GROUP.groups)

    assert (refused.value.retry_after, refused.value.is_temporary) == (12.0, True)
    assert env.slack.methods == ["usergroups.users.list"]


async def test_group_is_not_read_while_the_database_cannot_count_it(env: Env) -> None:
    limits = CallLimits(env.clock.monotonic, FailingBudget([]))
    directory = Directory(env.slack, IDENTITY, monotonic=env.clock.monotonic, limits=limits)
    with pytest.raises(RightsNotChecked, match="database") as refused:
        await directory.members_of(GROUP.groups)

    assert (refused.value.is_temporary, env.slack.methods) == (True, [])


async def test_answers_are_cached_for_a_minute(env: Env) -> None:
    await env.directory.members_of(["S1"])
    env.clock.advance(MAX_AGE - 1)
    await env.directory.members_of(["S1"])
    kept = len(env.slack.calls)
    env.clock.advance(2)
    await env.directory.members_of(["S1"])

    assert (kept, len(env.slack.calls)) == (1, 2)


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
async def test_failed_lookup_gives_no_rights_and_reports_why(
    env: Env, failure: str | Exception, sentence: str
) -> None:
    env.slack.respond("usergroups.users.list", failure)
    with pytest.raises(RightsNotChecked, match=sentence) as caught:
        await env.directory.person(RINA, GROUP)
    assert "nothing was done" in str(caught.value)


async def test_current_people_are_read_again_even_if_cached_or_named(env: Env) -> None:
    assert await env.directory.person(ADA, GROUP) in GROUP
    env.clock.advance(2)
    env.slack.respond("usergroups.users.list", {"users": []})
    env.slack.respond("users.info", {"user": {"id": "U0ADA", "team_id": HOME, "deleted": True}})

    people = await env.directory.current_people(["U0ADA"], GROUP.groups)

    assert people["U0ADA"].groups == frozenset()
    assert people["U0ADA"].kind is Kind.DEACTIVATED


@pytest.mark.parametrize("failure", ["ratelimited", "internal_error", aiohttp.ClientError()])
@pytest.mark.parametrize("method", ["users.info", "usergroups.users.list"])
async def test_current_people_are_unknown_without_an_answer(
    env: Env, method: str, failure: str | Exception
) -> None:
    await env.directory.current_people(["U0ADA"], GROUP.groups)
    env.clock.advance(2)
    env.slack.respond(method, failure)
    with pytest.raises(RightsNotChecked, match="nothing was done"):
        await env.directory.current_people(["U0ADA"], GROUP.groups)


async def test_user_or_group_that_is_gone_gives_no_rights(env: Env) -> None:
    env.slack.respond("users.info", "user_not_found")
    env.slack.respond("usergroups.users.list", "no_such_subteam")
    people = await env.directory.current_people(["U0ADA"], GROUP.groups)

    assert people["U0ADA"].kind is Kind.DEACTIVATED
    assert people["U0ADA"].groups == frozenset()


def account(user: str, name: str = "", **flags: Any) -> dict[str, Any]:
    profile = {"display_name": name}
    return {"user": {"id": user, "team_id": HOME, "profile": profile, **flags}}


async def test_candidates_are_named_people_and_then_members_in_slacks_order(env: Env) -> None:
    env.slack.respond("usergroups.users.list", {"users": ["U0ZOE", "U0RINA", "U0ABE"]})
    env.slack.respond(
        "users.info",
        *(account("U0OLGA"), account("U0RINA", "Rina"), account("U0ZOE", "Zoe", is_bot=True)),
        account("U0ABE", "Abe"),
    )

    found = await env.directory.candidates(NAMED | GROUP)

    assert [(each.id, each.name) for each in found] == [
        ("U0OLGA", "U0OLGA"),
        ("U0RINA", "Rina"),
        ("U0ZOE", "Zoe"),
        ("U0ABE", "Abe"),
    ]
    assert [each.kind for each in found][2] is Kind.BOT
    assert found[1].groups == GROUP.groups


async def test_candidate_whom_slack_does_not_show_leaves_the_others(env: Env) -> None:
    env.slack.respond("users.info", "user_not_visible", account("U0RINA", "Rina"))
    found = await env.directory.candidates(NAMED)

    assert [each.kind for each in found] == [Kind.DEACTIVATED, Kind.MEMBER]


@pytest.mark.parametrize("fault", [aiohttp.ServerDisconnectedError(), "ratelimited"])
async def test_candidates_are_not_known_while_slack_does_not_answer(
    env: Env, fault: Exception | str
) -> None:
    env.slack.respond("usergroups.users.list", fault)
    with pytest.raises(RightsNotChecked):
        await env.directory.candidates(GROUP)


async def test_at_most_forty_candidates_are_looked_up(env: Env) -> None:
    env.slack.respond("usergroups.users.list", {"users": [f"U{number}" for number in range(500)]})
    found = await env.directory.candidates(GROUP)

    assert len(found) == MAX_CANDIDATES == len(env.slack.called("users.info"))


def of_email(email: str, **flags: Any) -> dict[str, Any]:
    user = {"id": "U0RINA", "team_id": HOME, "profile": {"email": email}}
    return {"user": user | flags}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([of_email("rina@shop.example")], "U0RINA"),
        (["users_not_found", of_email("RINA@shop.example")], "U0RINA"),
        (["users_not_found", "users_not_found"], None),
        ([of_email("eve@shop.example")], None),
        ([of_email("rina@shop.example", is_restricted=True)], None),
        ([of_email("rina@shop.example", is_bot=True)], None),
        ([of_email("rina@shop.example", deleted=True)], None),
        ([of_email("rina@shop.example", team_id="T0OTHER")], None),
    ],
    ids=["member", "only in lower case", "unknown", "other", "guest", "bot", "gone", "outsider"],
)
async def test_email_finds_full_members_of_the_own_workspace_only(
    env: Env, answers: list[Any], expected: str | None
) -> None:
    env.slack.respond("users.lookupByEmail", *answers)

    assert await env.directory.member_with_email("Rina@shop.example") == expected


@pytest.mark.parametrize(
    ("code", "is_temporary"),
    [("missing_scope", False), ("fatal_error", True), ("token_revoked", True)],
)
async def test_email_without_an_answer_finds_no_one_and_says_whether_that_may_pass(
    env: Env, code: str, *, is_temporary: bool
) -> None:
    env.slack.respond("users.lookupByEmail", code)

    with pytest.raises(RightsNotChecked) as caught:
        await env.directory.member_with_email("rina@shop.example")
    assert caught.value.is_temporary == is_temporary


async def test_groups_are_read_only_if_the_policy_names_some(env: Env) -> None:
    await env.directory.person(RINA, EVERYONE)

    assert env.slack.methods == ["users.info"]
