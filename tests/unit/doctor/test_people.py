"""Checks of approvers, and the ids that the settings name."""

from pathlib import Path
from typing import Any

import pytest

from bot.cancellation.policy import Policy
from bot.doctor.people import check_approvers, named_ids, planned_checks, run_id_checks
from bot.doctor.results import CheckResult, Level
from bot.settings import Settings, load_settings
from bot.slack.directory import Directory
from tests.support.settings import ENOUGH, load
from tests.unit.slack.fake_slack import IDENTITY, FakeSlack

SUBJECT = CheckResult("it", "it")


@pytest.mark.parametrize(
    ("rules", "able", "level"),
    [
        ({"approvals": 1}, 0, Level.PROBLEM),
        ({"approvals": 2, "self_approval": True}, 1, Level.PROBLEM),
        ({"approvals": 1, "self_approval": True}, 1, Level.OK),
        ({"approvals": 1}, 1, Level.WARNING),
        ({"approvals": 1}, 2, Level.OK),
        ({"approvals": 1}, 20, Level.OK),
        ({"approvals": 1}, 21, Level.WARNING),
        ({"approvals": 1, "notify_approvers": False}, 2, Level.WARNING),
    ],
)
def test_approvers_are_enough_without_the_requester_and_get_direct_messages(
    rules: dict[str, Any], able: int, level: Level
) -> None:
    assert check_approvers(SUBJECT, Policy(**rules), able).level is level


def test_id_in_several_settings_is_listed_once_with_all_their_names(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        BOT_CHANNELS="C1,C2",
        BOT_WATCH_CHANNEL="C1",
        BOT_REQUESTERS="U1,S1",
        BOT_APPROVERS="U1,U2,S1",
    )

    assert subjects(settings) == [
        ("channel", "BOT_CHANNELS, BOT_WATCH_CHANNEL: C1"),
        ("channel", "BOT_CHANNELS: C2"),
        ("user", "BOT_REQUESTERS, BOT_APPROVERS: U1"),
        ("user", "BOT_APPROVERS: U2"),
        ("group", "BOT_REQUESTERS, BOT_APPROVERS: S1"),
    ]


def subjects(settings: Settings) -> list[tuple[str, str]]:
    return [(each.check, each.subject.subject) for each in named_ids(settings)]


def test_command_channel_is_not_needed_for_posts_with_an_audit_channel(tmp_path: Path) -> None:
    found = named_ids(load(tmp_path, BOT_CHANNELS="C1", BOT_AUDIT_CHANNEL="C2"))

    assert {each.id: each.needed for each in found} == {"C1": False, "C2": True}


def test_ids_of_a_projects_file_are_named_by_project_and_key() -> None:
    environ = ENOUGH | {
        "SHOP_PUBLIC_KEY": "public",
        "SHOP_PRIVATE_KEY": "private",
        "ORG_CLIENT_ID": "id",
        "ORG_CLIENT_SECRET": "secret",
    }
    settings = load_settings(environ | {"BOT_PROJECTS_FILE": "projects.example.toml"}, Path("docs"))

    assert subjects(settings) == [
        ("channel", "shop-prod, channels, shop-prod, watch_channel: C0OPS00001"),
        ("channel", "shop-prod, audit_channel: C0AUDIT001"),
        ("user", "shop-prod, escalate_to: U0HEAD0001"),
        ("group", "shop-prod, requesters, shop-prod, break_glass: S0ONCALL1"),
        ("group", "shop-prod, approvers: S0APPROVE1"),
    ]


@pytest.mark.parametrize(
    ("approvers", "level", "message"),
    [
        ("S1,U2,U9", Level.OK, "1 required, 4 can approve, and get the card of a request directly"),
        (
            "*",
            Level.WARNING,
            "1 required; every full member may approve, and gets no direct message",
        ),
    ],
)
async def test_named_approvers_and_members_of_groups_count_once(
    tmp_path: Path, approvers: str, level: Level, message: str
) -> None:
    slack = FakeSlack()
    slack.respond("usergroups.users.list", {"users": ["U0", "U1", "U2"]})
    rules = {"BOT_APPROVALS": "1", "BOT_REQUESTERS": "U0RINA", "BOT_APPROVERS": approvers}
    planned = planned_checks(load(tmp_path, **rules))
    planned = [each for each in planned if each[0].check == "approvers"]
    (found,) = await run_id_checks(Directory(slack, IDENTITY), planned)

    assert (found.subject, found.level) == ("BOT_APPROVALS, BOT_APPROVERS", level)
    assert found.message == message


def test_project_without_approvals_has_no_check_of_approvers(tmp_path: Path) -> None:
    assert planned_checks(load(tmp_path)) == []
