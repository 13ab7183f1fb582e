"""A project whose policy, or the roles of its key, change while it is in use."""

from dataclasses import replace

import pytest

from bot.atlas import JobRef
from bot.cancellation.errors import KeyMayNotCancel, ReadOnly, UnknownProject
from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Project, Projects
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.fake_atlas import FakeAtlas


def shop(*, read_only: bool = False) -> Project:
    policy = Policy(read_only=read_only)
    return Project(id=PROJECT_ID, name="shop-prod", policies=Policies(policy), atlas=FakeAtlas({}))


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
    projects.update(PROJECT_ID, key_may_cancel=key_may_cancel)

    assert type(projects.all[0].why_read_only("eu")) is (why or type(None))


def test_policy_is_found_by_the_id_alone_when_another_project_is_named_like_it() -> None:
    other = replace(shop(read_only=True), id="c" * 24, name=PROJECT_ID)
    projects = Projects([other])

    assert projects.policy_or_none(JobRef(PROJECT_ID, "eu", JOB_ID)) is None
    with pytest.raises(UnknownProject):
        projects.get(PROJECT_ID)
    assert projects.find(PROJECT_ID) == other


def test_project_is_found_by_its_name_in_atlas_unless_another_one_has_it_too() -> None:
    ids = [letter * 24 for letter in "abcd"]
    projects = Projects(replace(shop(), id=each, name=f"name-{each[0]}") for each in ids)
    for each, name in zip(ids, ["Shop Prod", "Twice", "twice", "name-a"], strict=True):
        projects.update(each, atlas_name=name)
    typed = ["shop prod", "twice", "NAME-A", "name-d", ""]

    found = [projects.find(each) for each in typed]
    assert [each and each.id for each in found] == [ids[0], None, ids[0], ids[3], None]


def test_updated_project_equals_the_one_before() -> None:
    projects = Projects([shop()])
    before = projects.all[0]
    projects.update(PROJECT_ID, key_may_cancel=True, policies=Policies(Policy(approvals=1)))

    assert before in projects.all
    assert before.policies != projects.all[0].policies
