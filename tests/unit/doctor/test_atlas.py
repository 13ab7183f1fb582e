"""Rules about what Atlas says of a key: its roles, its access list, and the clusters' names."""

import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey
from bot.atlas.key_access import KeyAccess
from bot.cancellation.policy import ClusterRule, Policies
from bot.doctor.atlas import check_access_list, check_role, unmatched_names
from bot.doctor.results import Level, Result
from bot.settings import ProjectSettings

IT = Result("it", "it")
UNREAD = "Atlas does not return it."


@pytest.mark.parametrize(
    ("roles", "is_read_only", "level", "part"),
    [
        ({"GROUP_BACKUP_RECOVERY_OPERATOR"}, False, Level.OK, "RECOVERY_OPERATOR is enough"),
        ({"GROUP_BACKUP_MANAGER", "GROUP_READ_ONLY"}, False, Level.OK, "MANAGER is enough"),
        ({"GROUP_READ_ONLY", "ORG_MEMBER"}, False, Level.PROBLEM, "GROUP_READ_ONLY, ORG_MEMBER"),
        ({"GROUP_READ_ONLY"}, True, Level.OK, "read-only"),
        ({"GROUP_OWNER"}, False, Level.WARNING, "may do everything"),
        ({"ORG_OWNER"}, True, Level.WARNING, "owns every project"),
        ({"GROUP_READ_ONLY", "GROUP_NEW"}, False, Level.UNCHECKED, "what GROUP_NEW allows"),
        (set(), False, Level.UNCHECKED, UNREAD),
        (None, False, Level.UNCHECKED, UNREAD),
    ],
)
def test_role_must_allow_to_cancel_and_not_much_more(
    roles: set[str] | None, *, is_read_only: bool, level: Level, part: str
) -> None:
    access = KeyAccess(key_id="k", roles=None if roles is None else frozenset(roles))
    result = check_role(IT, access, UNREAD, is_read_only=is_read_only)

    assert result.level is level
    assert part in result.sentence


@pytest.mark.parametrize(
    ("addresses", "level", "part"),
    [
        (["203.0.113.7/32"], Level.OK, "from no others than 203.0.113.7/32"),
        (["203.0.113.7"], Level.OK, "203.0.113.7"),
        (["203.0.113.7/32", "0.0.0.0/0"], Level.WARNING, "every address (0.0.0.0/0)"),
        (["::/0"], Level.WARNING, "every address (::/0)"),
        ([], Level.WARNING, "works from every address"),
        (None, Level.OK, UNREAD),
    ],
)
def test_access_list_must_not_admit_every_address(
    addresses: list[str] | None, level: Level, part: str
) -> None:
    result = check_access_list(IT, addresses, UNREAD)

    assert result.level is level
    assert part in result.sentence


def test_names_in_the_settings_that_no_cluster_has_are_found_in_any_case() -> None:
    rules = (ClusterRule(names=("PROD-*", "stage-?")), ClusterRule(names=("old",)))
    project = ProjectSettings(
        id="5b6212af90dc76637950a2c6",
        name="shop-prod",
        credentials=DigestKey("k", SecretStr("s")),
        policies=Policies(clusters=rules),
    )

    assert unmatched_names(project, ["prod-eu", "stage-10"]) == ["stage-?", "old"]
