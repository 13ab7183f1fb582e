"""A project whose policy, or the roles of its key, change while it is in use."""

import pytest

from bot.cancellation.errors import KeyMayNotCancel, ReadOnly
from bot.cancellation.policy import Policy
from bot.services.projects import Project, Projects
from tests.support.domain import PROJECT_ID
from tests.support.fake_atlas import FakeAtlas


def shop(*, read_only: bool = False) -> Project:
    policy = Policy(read_only=read_only)
    return Project(id=PROJECT_ID, name="shop-prod", policy=policy, atlas=FakeAtlas({}))


@pytest.mark.parametrize(
    ("read_only", "key_may_cancel", "why"),
    [
        (False, None, None),
        (False, True, None),
        (False, False, KeyMayNotCancel),
        (True, None, ReadOnly),
        (True, True, ReadOnly),
        (True, False, ReadOnly),
    ],
)
def test_setting_overrides_the_roles_of_the_key(
    *, read_only: bool, key_may_cancel: bool | None, why: type[Exception] | None
) -> None:
    projects = Projects([shop(read_only=read_only)])
    projects.update({PROJECT_ID: {"key_may_cancel": key_may_cancel}})

    assert type(projects.all[0].why_read_only) is (why or type(None))


def test_updated_project_equals_the_one_before() -> None:
    projects = Projects([shop()])
    before = projects.all[0]
    projects.update({PROJECT_ID: {"key_may_cancel": True, "policy": Policy(approvals=1)}})

    assert before in projects.all
    assert before.policy != projects.all[0].policy
