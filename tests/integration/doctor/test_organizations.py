"""Doctor's checks of organizations, and of the time of a round, against a fake Atlas."""

from pathlib import Path

from bot.doctor.atlas import check_organizations
from bot.doctor.results import Level
from bot.doctor.run import not_watched
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer
from bot.settings import Settings, load_settings

TABLE = """
[[organizations]]
public_key_env = "KEY"
private_key_env = "SECRET"
"""


def settings_of(folder: Path, atlas: FakeAtlasServer, toml: str, secret: str = "") -> Settings:
    (folder / "projects.toml").write_text(toml, "utf-8")
    environ = {
        "MONGODB_ATLAS_BASE_URL": atlas.url,
        "BOT_PROJECTS_FILE": "projects.toml",
        "KEY": PUBLIC_KEY,
        "SECRET": secret or PRIVATE_KEY,
    }
    return load_settings(environ, folder, needs_slack=False)


async def test_selected_projects_are_checked_and_conflicts_of_names_are_named(
    tmp_path: Path,
) -> None:
    async with FakeAtlasServer() as atlas:
        lab = atlas.world.add_project("lab").id
        atlas.world.keys[PUBLIC_KEY].roles[lab] = atlas.world.keys[PUBLIC_KEY].roles[PROJECT_ID]
        own = f'[[projects]]\nname = "Lab"\nid = "{"a" * 24}"\npublic_key_env = "KEY"\n'
        toml = f'{own}private_key_env = "SECRET"\n{TABLE}exclude = ["*-sandbox"]\n'
        (result,), projects = await check_organizations(settings_of(tmp_path, atlas, toml))

    assert {project.id for project in projects} == {"a" * 24, lab, PROJECT_ID}
    assert result.level is Level.WARNING
    assert "2 of the 2 projects" in result.message
    assert f"lab ({lab})" in result.message


async def test_patterns_that_select_nothing_are_a_warning(tmp_path: Path) -> None:
    async with FakeAtlasServer() as atlas:
        settings = settings_of(tmp_path, atlas, f'{TABLE}include = ["nothing-*"]')
        (result,), projects = await check_organizations(settings)

    assert (result.level, projects) == (Level.WARNING, [])


async def test_list_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    async with FakeAtlasServer() as atlas:
        settings = settings_of(tmp_path, atlas, TABLE, secret="wrong")
        (result,), projects = await check_organizations(settings)

    assert (result.level, projects) == (Level.PROBLEM, [])


async def test_projects_and_clusters_that_are_not_watched_are_named(tmp_path: Path) -> None:
    keys = 'public_key_env = "KEY"\nprivate_key_env = "SECRET"\n'
    toml = (
        f'[[projects]]\nname = "off"\nid = "{"a" * 24}"\n{keys}'
        f'[[projects]]\nname = "shop"\nid = "{"b" * 24}"\n{keys}watch_channel = "none"\n'
        '[[projects.clusters]]\nnames = ["test-*"]\nwatch_channel = ""\n'
    )
    async with FakeAtlasServer() as atlas:
        projects = settings_of(tmp_path, atlas, toml).projects
    (result,) = not_watched(projects, {"b" * 24: ["prod-eu", "test-eu"]})

    unwatched, _, follows = result.message.partition(": ")
    assert unwatched == "it does not watch off; test-eu of shop"
    assert follows == (
        "no watch channel is set, so a new download there is neither announced nor on record, "
        "and is cancelled only if people ask for it"
    )
    assert not_watched(projects[1:], {"b" * 24: ["prod-eu"]}) == []
