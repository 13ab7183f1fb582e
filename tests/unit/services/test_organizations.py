"""Projects of organizations: patterns, names, lists that fail, and projects that are gone."""

from collections.abc import Sequence

import pytest
import structlog

from bot.atlas import Project as AtlasProject
from bot.atlas import ReadItems, RoleMissing
from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Organization, Organizations, Project, Projects, selects
from tests.support.fake_atlas import FakeAtlas

A, B, C = (letter * 24 for letter in "abc")


class ListedAtlas(FakeAtlas):
    """An API with a list of projects."""

    def __init__(self, **names: str) -> None:
        super().__init__({})
        self.names = names
        self.fault: Exception | None = None
        self.unread: list[str] = []

    async def projects(self) -> ReadItems[AtlasProject]:
        if self.fault:
            raise self.fault
        found = (AtlasProject(id=each, name=name) for each, name in self.names.items())
        return ReadItems(found, self.unread)


def organization(
    atlas: FakeAtlas, label: str = "one", approvals: int = 0, exclude: Sequence[str] = ()
) -> Organization:
    def build(project_id: str, name: str) -> Project:
        return Project(
            id=project_id, name=name, policies=Policies(Policy(approvals=approvals)), atlas=atlas
        )

    return Organization(label=label, atlas=atlas, include=["*"], exclude=exclude, build=build)


async def read(*given: Organization, own: Sequence[Project] = ()) -> tuple[Projects, Organizations]:
    """Return the projects after one read of the organizations."""
    projects = Projects(own)
    organizations = Organizations(projects)
    organizations.set(given)
    await organizations.read()
    return projects, organizations


def names(projects: Projects) -> dict[str, str]:
    return {project.id: project.name for project in projects.all}


@pytest.mark.parametrize(
    ("include", "exclude", "selected"),
    [
        (["*"], [], True),
        (["shop-?rod"], [], True),
        (["SHOP-*"], [], True),
        ([A], [], True),
        (["*"], ["*-prod"], False),
        (["*"], [A], False),
        (["lab-*"], [], False),
        (["shop"], [], False),
        (["shop.prod"], [], False),
        (["[s]hop-prod"], [], False),
    ],
)
def test_patterns_match_names_and_ids(
    include: list[str], exclude: list[str], *, selected: bool
) -> None:
    assert selects(include, exclude, AtlasProject(id=A, name="shop-prod")) is selected


async def test_single_project_overrides_its_organization() -> None:
    own = Project(id=A, name="shop", policies=Policies(Policy(approvals=2)), atlas=FakeAtlas({}))
    atlas = ListedAtlas(**{A: "shop-prod", B: "lab"})
    projects, _ = await read(organization(atlas), own=[own])

    assert names(projects) == {A: "shop", B: "lab"}
    assert projects.find(A) is own


async def test_name_that_another_project_has_is_replaced_by_the_id_and_logged_once() -> None:
    projects = Projects([])
    organizations = Organizations(projects)
    lists = ListedAtlas(**{A: "shop"}), ListedAtlas(**{B: "Shop"})
    organizations.set(organization(each, label) for each, label in zip(lists, "12", strict=True))
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await organizations.read()

    assert names(projects) == {A: "shop", B: B}
    assert [each["project"] for each in logs if each["log_level"] == "warning"] == [B]


async def test_project_that_is_gone_is_found_by_its_id_only_and_may_come_back() -> None:
    projects, atlas = Projects([]), ListedAtlas(**{A: "shop", B: "lab"})
    organizations = Organizations(projects)
    organizations.set([organization(atlas)])
    changes: list[dict[str, str]] = []
    organizations.on_change = lambda: changes.append(names(projects))
    await organizations.read()
    del atlas.names[A]
    await organizations.read()
    gone = projects.find(A), projects.find("shop")
    atlas.names[A] = "shop"
    await organizations.read()
    await organizations.read()

    assert (gone[0] is not None, gone[1]) == (True, None)
    assert changes == [{A: "shop", B: "lab"}, {B: "lab"}, *2 * [{A: "shop", B: "lab"}]]


async def test_list_that_cannot_be_read_keeps_its_projects_and_affects_no_other() -> None:
    broken = ListedAtlas(**{A: "shop"})
    two = organization(ListedAtlas(**{B: "lab"}), "two")
    projects, organizations = await read(organization(broken), two)
    broken.fault = RoleMissing(status=403)
    (sentence,) = await organizations.read()

    assert names(projects) == {A: "shop", B: "lab"}
    assert "one" in sentence


@pytest.mark.parametrize("unread", [A, ""])
async def test_project_does_not_count_as_gone_while_an_item_cannot_be_read(unread: str) -> None:
    atlas = ListedAtlas(**{A: "shop", B: "lab"})
    projects, organizations = await read(organization(atlas))
    atlas.names, atlas.unread = {B: "laboratory"}, [unread]
    failed = await organizations.read()
    during, is_complete = names(projects), organizations.is_complete
    atlas.unread = []

    assert failed == ["In the list of one, 1 project could not be read."]
    assert (during, is_complete) == ({A: "shop", B: "laboratory"}, False)
    assert await organizations.read() == []
    assert names(projects) == {B: "laboratory"}


async def test_changed_policy_applies_immediately_to_known_projects() -> None:
    atlas = ListedAtlas(**{A: "shop", B: "lab"})
    projects, organizations = await read(organization(atlas))
    atlas.fault = RoleMissing(status=403)
    organizations.set([organization(atlas, approvals=2, exclude=["lab"])])

    assert {each.id: each.policies.default.approvals for each in projects.all} == {A: 2}


async def test_project_that_moved_to_other_credentials_has_their_client_and_policy() -> None:
    old, new = ListedAtlas(**{A: "shop"}), ListedAtlas()
    tables = organization(old), organization(new, approvals=2)
    projects, organizations = await read(*tables)
    projects.update(A, key_may_cancel=False)
    old.names, new.names = new.names, old.names
    await organizations.read()

    (project,) = projects.all
    assert (project.atlas, project.policies.default.approvals) == (new, 2)
    assert project.key_may_cancel is None


async def test_failed_list_is_read_again_sooner() -> None:
    atlas, organizations = ListedAtlas(**{A: "shop"}), Organizations(Projects([]))
    organizations.set([organization(atlas)])
    atlas.fault = RoleMissing(status=403)
    first = await organizations.follow()
    atlas.fault = None

    assert [first, await organizations.follow()] == [0, 300]
