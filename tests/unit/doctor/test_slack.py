"""Rules about Slack's tokens: the scopes, and whether both are of one app."""

from dataclasses import replace
from typing import Any, cast

import pytest

from bot.cancellation.people import People
from bot.cancellation.policy import Policies, Policy
from bot.doctor.results import Level
from bot.doctor.slack import NEEDED, check_scopes, compare_apps
from bot.settings import Settings, load_settings
from bot.slack.client import SlackClient
from bot.slack.errors import CannotPost
from tests.support.domain import AUTO_CANCEL
from tests.support.settings import ENOUGH

ALL = frozenset(NEEDED) | {"channels:read", "groups:read"}
WATCHED = Policy(channel="C0OPS")
GROUPS = replace(WATCHED, approvers=People(groups=frozenset({"S0APPROVE1"})))


def settings(policy: Policy) -> Settings:
    loaded = load_settings(ENOUGH, needs_slack=True)
    (project,) = loaded.projects
    changed = replace(project, policies=Policies(default=policy))
    return loaded.model_copy(update={"projects": (changed,)})


@pytest.mark.parametrize(
    ("scopes", "policy", "levels"),
    [
        (ALL, WATCHED, {"scopes of SLACK_BOT_TOKEN": Level.OK}),
        (ALL | {"chat:write.public"}, Policy(), {"scopes of SLACK_BOT_TOKEN": Level.OK}),
        (ALL, Policy(), {"scope chat:write.public": Level.WARNING}),
        (ALL - {"chat:write"}, WATCHED, {"scope chat:write": Level.PROBLEM}),
        (ALL - {"groups:read"}, WATCHED, {"scope groups:read": Level.WARNING}),
        (ALL, AUTO_CANCEL, {"scope users:read.email": Level.WARNING}),
        (ALL, GROUPS, {"scope usergroups:read": Level.PROBLEM}),
        (frozenset(), Policy(), {"scopes of SLACK_BOT_TOKEN": Level.UNCHECKED}),
    ],
)
def test_missing_scope_is_a_problem_where_the_settings_need_it(
    scopes: frozenset[str], policy: Policy, levels: dict[str, Level]
) -> None:
    results = check_scopes(scopes, settings(policy))

    assert {result.subject: result.level for result in results} == levels


class Bots:
    """A client that knows the app of a bot, or raises."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self._answer = answer

    async def bots_info(self, *, bot: str) -> dict[str, Any]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


APP = {"bot": {"app_id": "A0BOT"}}


@pytest.mark.parametrize(
    ("answer", "own", "bot", "level"),
    [
        (APP, "A0BOT", "B0BOT", Level.OK),
        (APP, "A0OTHER", "B0BOT", Level.PROBLEM),
        (APP, "", "B0BOT", Level.UNCHECKED),
        ({"bot": {}}, "A0BOT", "B0BOT", Level.UNCHECKED),
        (CannotPost("missing_scope"), "A0BOT", "B0BOT", Level.UNCHECKED),
        (APP, "A0BOT", None, Level.UNCHECKED),
    ],
)
async def test_app_token_of_another_app_is_a_problem_and_an_unknown_app_is_unchecked(
    answer: dict[str, Any] | Exception, own: str, bot: str | None, level: Level
) -> None:
    result = await compare_apps(cast("SlackClient", Bots(answer)), own, bot)

    assert result.level is level
