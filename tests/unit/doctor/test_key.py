"""The sentences about the roles and the access list of a key."""

import pytest

from bot.atlas import KeyAccess
from bot.doctor.key import check_access_list, check_cancel_role, check_roles, role_to_read_jobs
from bot.doctor.results import CheckResult, Level

SUBJECT = CheckResult("it", "it")
UNREAD = "Atlas does not return it"

RECOVERY = "GROUP_BACKUP_RECOVERY_OPERATOR"
MANAGER = "GROUP_BACKUP_MANAGER"
EXPORT = "GROUP_BACKUP_EXPORT_OPERATOR"


def access(*roles: str) -> KeyAccess:
    return KeyAccess(roles=frozenset(roles))


@pytest.mark.parametrize(
    ("roles", "level", "message", "hint"),
    [
        ((RECOVERY,), Level.OK, f"{RECOVERY}: no more than the bot needs", ""),
        ((RECOVERY, "GROUP_READ_ONLY", "ORG_MEMBER"), Level.OK, "no more than", ""),
        ((MANAGER,), Level.OK, f"{RECOVERY} alone may be enough", ""),
        (("GROUP_READ_ONLY",), Level.OK, "no more than the bot needs", ""),
        (
            ("GROUP_OWNER",),
            Level.WARNING,
            "more than the bot needs: GROUP_OWNER (may do everything in the project)",
            f"Replace it by {RECOVERY} in the project, in Atlas, under Project Identity & Access.",
        ),
        (
            (RECOVERY, EXPORT),
            Level.WARNING,
            f"more than the bot needs: {EXPORT} (may download and export backups)",
            "Remove it, in Atlas, under Project Identity & Access.",
        ),
        (
            ("ORG_OWNER",),
            Level.WARNING,
            "owns every project of the organization",
            f"Replace it by {RECOVERY} in the project, in Atlas, under Organization Access",
        ),
        (("GROUP_BACKUP_CREATOR", MANAGER), Level.WARNING, "needs: GROUP_BACKUP_CREATOR", "Remove"),
        ((RECOVERY, "GROUP_FROM_2027"), Level.WARNING, "needs: GROUP_FROM_2027", "Remove it"),
        ((), Level.UNCHECKED, UNREAD, ""),
    ],
)
def test_superfluous_roles_are_named_with_the_remedy(
    roles: tuple[str, ...], level: Level, message: str, hint: str
) -> None:
    found = check_roles(SUBJECT, access(*roles), UNREAD)

    assert found.level is level
    assert message in found.message
    assert found.hint.startswith(hint)


@pytest.mark.parametrize(
    ("roles", "level", "message"),
    [
        ((RECOVERY, "GROUP_READ_ONLY"), Level.OK, f"{RECOVERY} allows it"),
        ((MANAGER,), Level.OK, f"{MANAGER} allows it"),
        ((EXPORT,), Level.OK, f"{EXPORT} allows it"),
        (("GROUP_OWNER",), Level.OK, "GROUP_OWNER allows it"),
        (("GROUP_FROM_2027", "ORG_OWNER"), Level.OK, "ORG_OWNER allows it"),
        (("GROUP_READ_ONLY",), Level.PROBLEM, "no role of the key allows it (GROUP_READ_ONLY)"),
        (("GROUP_BACKUP_CREATOR", "ORG_MEMBER"), Level.PROBLEM, "GROUP_BACKUP_CREATOR, ORG_MEMBER"),
        (
            ("GROUP_FROM_2027", "GROUP_READ_ONLY"),
            Level.UNCHECKED,
            "this program does not know what GROUP_FROM_2027 allows",
        ),
        ((), Level.UNCHECKED, UNREAD),
    ],
)
def test_missing_role_to_cancel_is_a_problem_and_an_unknown_one_is_not_judged(
    roles: tuple[str, ...], level: Level, message: str
) -> None:
    found = check_cancel_role(SUBJECT, access(*roles), UNREAD, read_only=False)

    assert found.level is level
    assert message in found.message
    assert (RECOVERY in found.hint) is (level is not Level.OK)


@pytest.mark.parametrize("roles", [(RECOVERY,), ("GROUP_READ_ONLY",), ()])
def test_bot_that_only_watches_needs_no_role_to_cancel(roles: tuple[str, ...]) -> None:
    found = check_cancel_role(SUBJECT, access(*roles), UNREAD, read_only=True)

    assert (found.level, found.message) == (
        Level.OK,
        "not used: the bot only watches (BOT_READ_ONLY)",
    )


@pytest.mark.parametrize(
    ("roles", "missing"),
    [((RECOVERY,), f"give it {MANAGER}"), (("GROUP_READ_ONLY",), f"Give it {RECOVERY}")],
)
def test_next_role_is_named_for_a_key_that_cannot_read_jobs(
    roles: tuple[str, ...], missing: str
) -> None:
    assert missing in role_to_read_jobs(access(*roles))


@pytest.mark.parametrize(
    ("addresses", "level", "message"),
    [
        (("203.0.113.7", "198.51.100.0/24"), Level.OK, "from no others than 203.0.113.7, 198."),
        ((), Level.WARNING, "it is empty: the key works from every address"),
        (("203.0.113.7", "0.0.0.0/0"), Level.WARNING, "it admits every address (0.0.0.0/0)"),
        (("::/0",), Level.WARNING, "it admits every address (::/0)"),
        (("no address",), Level.OK, "no address"),
        (None, Level.OK, f"the list itself was not read: {UNREAD}"),
    ],
)
def test_access_list_that_is_empty_or_admits_everyone_is_a_warning(
    addresses: tuple[str, ...] | None, level: Level, message: str
) -> None:
    found = check_access_list(SUBJECT, addresses, UNREAD)

    assert found.level is level
    assert message in found.message
    assert bool(found.hint) is (level is Level.WARNING)
