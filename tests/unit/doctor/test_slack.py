"""Checks of Slack: scopes and tokens."""

import pytest

from bot.doctor.results import CheckResult, Level
from bot.doctor.slack import authenticate, check_app_token, check_scopes
from bot.slack.client import Identity
from bot.slack.manifest import OPTIONAL_SCOPES, SCOPES
from tests.unit.slack.fake_slack import FakeSlack

ALL = frozenset(SCOPES)

#: The optional scopes that the settings of a test need.
USED = frozenset({"usergroups:read", "groups:read"})


def levels(results: list[CheckResult]) -> dict[str, Level]:
    return {result.subject: result.level for result in results}


def test_exact_scopes_are_ok() -> None:
    assert [found.level for found in check_scopes(ALL, USED)] == [Level.OK]


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_missing_scope_is_reported_with_its_purpose(scope: str) -> None:
    (found,) = check_scopes(ALL - {scope}, USED)
    is_optional = scope in OPTIONAL_SCOPES.keys() - USED
    assert found.level is (Level.WARNING if is_optional else Level.PROBLEM)
    assert found.subject == f"scope {scope}"
    assert SCOPES[scope] in found.message


@pytest.mark.parametrize("scope", sorted(OPTIONAL_SCOPES))
def test_optional_scope_that_the_settings_do_not_need_is_a_warning_with_its_effect(
    scope: str,
) -> None:
    found = check_scopes(ALL - {scope}, frozenset())

    assert levels(found) == {f"scope {scope}": Level.WARNING}
    assert OPTIONAL_SCOPES[scope] in found[0].message


def test_unneeded_scopes_are_a_warning() -> None:
    (found,) = check_scopes(ALL | {"files:read", "channels:history"}, USED)

    assert found.level is Level.WARNING
    assert "channels:history, files:read" in found.message


def test_missing_scope_header_leaves_scopes_unchecked() -> None:
    assert [found.level for found in check_scopes(frozenset(), USED)] == [Level.UNCHECKED]


def identified(**answer: object) -> FakeSlack:
    slack = FakeSlack()
    known = {"team_id": "T0HOME", "user_id": "U0BOT", "user": "bot", "team": "Shop"}
    slack.respond("auth.test", {**known, **answer})
    return slack


async def test_scopes_of_the_bot_are_read() -> None:
    slack = identified(bot_id="B0BOT")
    slack.scripts["auth.test"].headers["x-oauth-scopes"] = "commands, chat:write"
    _, answer = await authenticate(slack)

    assert answer
    assert Identity.of(answer).scopes == frozenset({"commands", "chat:write"})


async def test_user_token_as_bot_token_is_a_problem() -> None:
    result, answer = await authenticate(identified())

    assert answer is None
    assert result.level is Level.PROBLEM
    assert "not a bot's token" in result.message


@pytest.mark.parametrize(
    ("app", "proxy", "level", "message"),
    [
        ("A0OTHER", None, Level.PROBLEM, "another app (A0OTHER) than SLACK_BOT_TOKEN (A0BOT)"),
        ("A0BOT", None, Level.PROBLEM, "127.0.0.1, port 9"),
        ("", "http://proxy.example.com:3128", Level.OK, "not tested"),
    ],
    ids=["app token of another app", "unreachable", "through a proxy"],
)
async def test_app_token_is_tested_by_opening_socket_mode(
    app: str, proxy: str | None, *, level: Level, message: str
) -> None:
    slack = FakeSlack()
    slack.proxy = proxy
    slack.respond("apps.connections.open", {"url": "ws://127.0.0.1:9/link"})
    slack.respond("auth.test", {"app_id": app} if app else "invalid_auth")
    slack.respond("bots.info", {"bot": {"app_id": "A0BOT"}})
    found = await check_app_token(slack, "xapp-1", "B0BOT")

    assert found.level is level
    assert message in found.message
