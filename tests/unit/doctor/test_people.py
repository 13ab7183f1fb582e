"""Checks of approvers, and the ids that the settings name."""

from pathlib import Path

import pytest

from bot.cancellation.policy import Policy
from bot.doctor.people import check_approvers, named_ids, planned_checks, run_id_checks
from bot.doctor.results import Level, Subject
from bot.settings import Settings, load_settings
from bot.slack.directory import Directory
from tests.support.settings import ENOUGH, load
from tests.unit.slack.fake_slack import IDENTITY, FakeSlack

SUBJECT = Subject("it", "it")


@pytest.mark.parametrize(
    ("wanted", "self_approval", "able", "level"),
    [
        (1, False, 0, Level.PROBLEM),
        (2, True, 1, Level.PROBLEM),
        (1, False, 2, Level.OK),
        (1, True, 1, Level.OK),
        (1, False, 1, Level.WARNING),
    ],
)
def test_approvers_are_enough_when_enough_remain_without_the_requester(
    wanted: int, self_approval: bool, able: int, level: Level
) -> None:
    policy = Policy(approvals=wanted, self_approval=self_approval)

    assert check_approvers(SUBJECT, policy, able).level is level


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
    return [(each.check, each.subject.name) for each in named_ids(settings)]


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


async def direct_messages(
    folder: Path, members: int, answer: str = "", **given: str
) -> tuple[Level, str]:
    """Return the results for a group of approvers with so many members."""
    slack = FakeSlack()
    slack.respond("usergroups.users.list", answer or {"users": [f"U{n}" for n in range(members)]})
    rules = {"BOT_APPROVALS": "1", "BOT_REQUESTERS": "U0RINA", "BOT_APPROVERS": "S1", **given}
    planned = planned_checks(load(folder, **rules))
    planned = [each for each in planned if each[0].check == "direct_messages"]
    (found,) = await run_id_checks(Directory(slack, IDENTITY), planned)

    assert found.subject == "direct messages to BOT_APPROVERS"
    assert bool(found.hint) is (found.level is Level.WARNING)
    return found.level, found.message


@pytest.mark.parametrize(
    ("members", "level", "message"),
    [
        (0, Level.WARNING, "no approver gets any"),
        (1, Level.OK, "1 approver gets the card of a request"),
        (20, Level.OK, "20 approvers get the card of a request"),
        (21, Level.WARNING, "20 approvers get the card of a request, and others get none"),
        (200, Level.WARNING, "20 approvers get the card of a request, and others get none"),
    ],
)
async def test_no_approver_and_more_than_twenty_get_a_warning(
    tmp_path: Path, members: int, level: Level, message: str
) -> None:
    assert await direct_messages(tmp_path, members) == (level, message)


@pytest.mark.parametrize(
    ("given", "answer", "level", "message"),
    [
        ({"BOT_APPROVERS": "S1,U2,U9"}, "", Level.OK, "4 approvers get the card of a request"),
        (
            {"BOT_APPROVERS": "U1,U2", "BOT_ESCALATE_TO": "U2,U3"},
            *("", Level.OK, "2 approvers get the card of a request"),
        ),
        ({"BOT_APPROVERS": "*"}, "", Level.WARNING, "no approver gets any"),
        (
            {"BOT_NOTIFY_APPROVERS": "false"},
            *("fatal_error", Level.WARNING, "no approver gets any (BOT_NOTIFY_APPROVERS)"),
        ),
    ],
    ids=[
        "named approvers and members of groups count once",
        "people of the escalation do not count",
        "approvers by wildcard get none",
        "switched off without a call",
    ],
)
async def test_direct_messages_are_counted_by_the_settings(
    tmp_path: Path, given: dict[str, str], answer: str, level: Level, message: str
) -> None:
    assert await direct_messages(tmp_path, 3, answer, **given) == (level, message)


def test_project_without_approvals_has_no_direct_messages(tmp_path: Path) -> None:
    assert planned_checks(load(tmp_path)) == []
