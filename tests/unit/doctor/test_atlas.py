"""Rules about the roles that Atlas names of a key."""

import pytest

from bot.doctor.atlas import check_role
from bot.doctor.results import Level, Result


@pytest.mark.parametrize(
    ("roles", "is_read_only", "level", "part"),
    [
        ({"GROUP_BACKUP_RECOVERY_OPERATOR"}, False, Level.OK, "RECOVERY_OPERATOR is enough"),
        ({"GROUP_BACKUP_MANAGER", "GROUP_READ_ONLY"}, False, Level.OK, "MANAGER is enough"),
        ({"GROUP_READ_ONLY", "ORG_MEMBER"}, False, Level.PROBLEM, "GROUP_READ_ONLY, ORG_MEMBER"),
        ({"GROUP_READ_ONLY"}, True, Level.OK, "read-only"),
        ({"GROUP_OWNER"}, False, Level.WARNING, "may do everything"),
        ({"ORG_OWNER"}, True, Level.WARNING, "owns every project"),
        (set(), False, Level.UNCHECKED, "does not return it"),
    ],
)
def test_role_must_allow_to_cancel_and_not_much_more(
    roles: set[str], *, is_read_only: bool, level: Level, part: str
) -> None:
    result = check_role(Result("it", "it"), frozenset(roles), is_read_only=is_read_only)

    assert result.level is level
    assert part in result.sentence
