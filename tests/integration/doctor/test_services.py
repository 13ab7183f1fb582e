"""The checks of Slack and Atlas against stand-ins, each service broken in turn."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.doctor.results import Level, Result
from bot.doctor.run import run_checks
from bot.sandbox.atlas import PROJECT_ID, PUBLIC_KEY, FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack import Fault as SlackFault
from bot.settings import load_settings
from tests.support.environ import NOWHERE, bot_environ

Changes = dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Both stand-ins, and settings with which all is well."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    folder: Path

    async def check(self, changes: Changes | None = None) -> list[Result]:
        """Return the results with these variables changed; None removes one."""
        given: Changes = {
            **bot_environ(self.slack, self.atlas, f"sqlite:///{self.folder}/bot.db"),
            "BOT_CHANNEL": "C0OPS00001",
            "BOT_APPROVALS": "1",
            "BOT_APPROVERS": "S0APPROVE1",
            **(changes or {}),
        }
        environ = {name: value for name, value in given.items() if value is not None}
        return await run_checks(load_settings(environ, needs_slack=False))


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        for credential in (*atlas.world.keys.values(), *atlas.world.service_accounts.values()):
            credential.access_list = ["127.0.0.1/32"]
        yield Services(slack=slack, atlas=atlas, folder=tmp_path)


def at(level: Level, results: list[Result]) -> list[str]:
    return [result.check for result in results if result.level is level]


def the(results: list[Result], check: str) -> Result:
    (result,) = (result for result in results if result.check == check)
    return result


async def test_all_is_well_with_key_or_service_account_and_nothing_is_changed(
    services: Services,
) -> None:
    with_key = await services.check()
    with_account = await services.check(
        {
            "MONGODB_ATLAS_PUBLIC_API_KEY": None,
            "MONGODB_ATLAS_PRIVATE_API_KEY": None,
            "MONGODB_ATLAS_CLIENT_ID": CLIENT_ID,
            "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRET,
        }
    )

    assert {result.level for result in (*with_key, *with_account)} == {Level.OK}
    assert {call.method for call in services.atlas.calls} <= {"GET", "POST"}
    assert services.slack.complaints == []
    assert services.slack.sockets.connections == 0
    assert not list(services.folder.iterdir())


async def test_each_problem_is_named_with_its_fix(services: Services) -> None:
    results = await services.check(
        {
            "SLACK_BOT_TOKEN": "xoxb-no",
            "SLACK_APP_TOKEN": "xapp-no",
            "MONGODB_ATLAS_PRIVATE_API_KEY": "no",
            "DATABASE_URL": "postgresql://bot:sesame@127.0.0.1:1/bot",
        }
    )

    assert at(Level.PROBLEM, results) == ["slack_token", "slack_app_token", "atlas_key", "database"]
    assert at(Level.UNCHECKED, results) == ["slack_others", "atlas_others"]
    assert all(result.fix for result in results if result.level is Level.PROBLEM)
    assert "sesame" not in str(results)


async def test_without_slack_the_rest_is_checked_and_a_line_says_so(services: Services) -> None:
    results = await services.check({"SLACK_BOT_TOKEN": None, "SLACK_APP_TOKEN": None})

    assert at(Level.UNCHECKED, results) == ["slack"]
    assert {"atlas_restore_jobs", "database"} <= set(at(Level.OK, results))


def lock_out(services: Services) -> None:
    services.atlas.behaviour.seen_address = "198.51.100.7"
    services.atlas.world.keys[PUBLIC_KEY].access_list = ["203.0.113.0/24"]


def take_the_role(services: Services) -> None:
    services.atlas.world.keys[PUBLIC_KEY].roles[PROJECT_ID] = {Role.READ_ONLY}


def take_the_plan(services: Services) -> None:
    services.slack.workspace.has_user_groups = False


def turn_socket_mode_off(services: Services) -> None:
    services.slack.sockets.enabled = False


def break_jobs(services: Services) -> None:
    services.atlas.faults.add(Fault(kind=Kind.CUT_BODY, path="/backup/", times=None))


def take_app_scope(services: Services) -> None:
    services.slack.workspace.app.app_scopes.clear()


SERVICES: dict[str, tuple[Callable[[Services], None], list[str], str]] = {
    "another address": (lock_out, ["atlas_access_list"], "198.51.100.7"),
    "no role": (take_the_role, ["atlas_role", "atlas_restore_jobs"], "GROUP_READ_ONLY"),
    "no user groups": (take_the_plan, ["group"], "no user groups"),
    "Socket Mode off": (turn_socket_mode_off, ["slack_app_token"], "Socket Mode is off"),
    "app token without its scope": (take_app_scope, ["slack_app_token"], "connections:write"),
    "unusable answers": (break_jobs, ["atlas_restore_jobs"], "Atlas"),
}


@pytest.mark.parametrize("broken", SERVICES)
async def test_refusal_of_a_service_is_a_problem_of_its_check(
    services: Services, broken: str
) -> None:
    change, checks, part = SERVICES[broken]
    change(services)
    results = await services.check()

    assert at(Level.PROBLEM, results) == checks
    assert part in the(results, checks[0]).sentence


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"BOT_CHANNEL": "C0QUIET001"}, "channel", Level.PROBLEM, "the bot is not in it"),
        ({"BOT_CHANNEL": "C0LOBBY001"}, "channel", Level.PROBLEM, "not in #lobby"),
        ({"BOT_CHANNEL": "C0ATTIC001"}, "channel", Level.PROBLEM, "archived"),
        ({"BOT_CHANNEL": "C0SHARED01"}, "channel", Level.WARNING, "another organization"),
        ({"BOT_APPROVERS": "S0NOBODY01"}, "group", Level.PROBLEM, "does not exist"),
        ({"BOT_APPROVERS": "*"}, "approvers", Level.WARNING, "nobody is mentioned"),
        ({"BOT_APPROVERS": "U0DAN00001,U0CIBOT001"}, "approvers", Level.PROBLEM, "0 people"),
        ({"BOT_APPROVALS": "2"}, "approvers", Level.WARNING, "too few are left"),
    ],
)
async def test_channel_and_approvers_of_the_settings_are_checked(
    services: Services, changes: Changes, check: str, level: Level, part: str
) -> None:
    result = the(await services.check(changes), check)

    assert (result.level, part in result.sentence) == (level, True)
    assert result.fix


async def test_unread_activity_feed_is_a_warning_with_the_role_that_is_missing(
    services: Services,
) -> None:
    fault = Fault(kind=Kind.ERROR, code="USER_UNAUTHORIZED", path="/events", times=None)
    services.atlas.faults.add(fault)
    result = the(await services.check(), "atlas_activity_feed")

    assert (result.level, "GROUP_READ_ONLY" in result.fix) == (Level.WARNING, True)


async def test_services_that_do_not_answer_are_problems(services: Services) -> None:
    results = await services.check(
        {"SLACK_API_URL": f"{NOWHERE}/api/", "MONGODB_ATLAS_BASE_URL": NOWHERE}
    )

    assert at(Level.PROBLEM, results) == ["slack_token", "slack_app_token", "atlas"]


async def test_limited_calls_of_slack_leave_people_unchecked(services: Services) -> None:
    services.slack.faults.add("users.info", SlackFault(kind="ratelimited"), times=9)

    assert the(await services.check(), "approvers").level is Level.UNCHECKED
