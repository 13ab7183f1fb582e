"""Checks of approvers, and the ids that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import Policy
from bot.doctor.people import channels, check_approvers, groups, users
from bot.doctor.results import Level, Subject
from bot.settings import load_settings

SUBJECT = Subject("it", "it")


def ids(text: str) -> frozenset[str]:
    return frozenset(text.split())


@pytest.mark.parametrize(
    ("wanted", "self_approval", "able", "requesters", "level"),
    [
        (1, False, "", None, Level.PROBLEM),
        (2, True, "U1", None, Level.PROBLEM),
        (1, False, "U1 U2", None, Level.OK),
        (1, True, "U1", ids("U1"), Level.OK),
        (1, False, "U1", ids("U2"), Level.OK),
        (1, False, "U1", ids("U1"), Level.PROBLEM),
        (1, False, "U1", ids("U1 U2"), Level.WARNING),
        (1, False, "U1", None, Level.WARNING),
        (2, False, "U1 U2", ids("U1"), Level.PROBLEM),
        (2, False, "U1 U2 U3", ids("U1"), Level.OK),
    ],
)
def test_approvers_are_enough_when_enough_remain_without_the_requester(
    wanted: int, self_approval: bool, able: str, requesters: frozenset[str] | None, level: Level
) -> None:
    policy = Policy(approvals=wanted, self_approval=self_approval)

    assert check_approvers(SUBJECT, policy, ids(able), requesters).level is level


ENVIRON = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "public",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "private",
    "MONGODB_ATLAS_PROJECT_ID": "5b6212af90dc76637950a2c6",
}


def test_id_in_several_settings_is_listed_once_with_all_their_names(tmp_path: Path) -> None:
    given = {
        "BOT_CHANNELS": "C1,C2",
        "BOT_WATCH_CHANNEL": "C1",
        "BOT_REQUESTERS": "U1,S1",
        "BOT_APPROVERS": "U1,U2,S1",
    }
    settings = load_settings(ENVIRON | given, tmp_path)

    assert [each.subject.name for each in channels(settings)] == [
        "BOT_CHANNELS, BOT_WATCH_CHANNEL: C1",
        "BOT_CHANNELS: C2",
    ]
    assert [each.subject.name for each in users(settings)] == [
        "BOT_REQUESTERS, BOT_APPROVERS: U1",
        "BOT_APPROVERS: U2",
    ]
    assert [each.subject.name for each in groups(settings)] == ["BOT_REQUESTERS, BOT_APPROVERS: S1"]


def test_command_channel_is_not_needed_for_posts_with_an_audit_channel(tmp_path: Path) -> None:
    given = {"BOT_CHANNELS": "C1", "BOT_AUDIT_CHANNEL": "C2"}
    found = channels(load_settings(ENVIRON | given, tmp_path))

    assert {each.id: each.needed for each in found} == {"C1": False, "C2": True}


def test_ids_of_a_projects_file_are_named_by_project_and_key() -> None:
    environ = ENVIRON | {
        "SHOP_PUBLIC_KEY": "public",
        "SHOP_PRIVATE_KEY": "private",
        "ORG_CLIENT_ID": "id",
        "ORG_CLIENT_SECRET": "secret",
    }
    settings = load_settings(environ | {"BOT_PROJECTS_FILE": "projects.example.toml"}, Path("docs"))

    assert [each.subject.name for each in channels(settings)] == [
        "shop-prod, channels, shop-prod, watch_channel: C0OPS00001",
        "shop-prod, audit_channel: C0AUDIT001",
    ]
    assert [each.subject.name for each in groups(settings)] == [
        "shop-prod, requesters, shop-prod, break_glass: S0ONCALL1",
        "shop-prod, approvers: S0APPROVE1",
    ]


def test_wildcard_names_no_user_and_no_group(tmp_path: Path) -> None:
    settings = load_settings(ENVIRON, tmp_path)

    assert settings.projects[0].policy.requesters == EVERYONE != People()
    assert (users(settings), groups(settings)) == ([], [])
