"""Commands over a projects file: names and ids, policies by cluster, and keys by variable."""

from pathlib import Path

import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer
from tests.acceptance.command_line.commands import RUNNING, YES, Environ, lines, run

STAGING = ("staging-eu", "65f0a1c2d3e4f5a6b7c80301")
NOTE = "Customer data. Call 7700."
PROJECTS = f"""
[[projects]]
name = "Shop"
id = "{PROJECT_ID}"
public_key_env = "SHOP_PUBLIC_KEY"
private_key_env = "SHOP_PRIVATE_KEY"
approvals = 0

[[projects.clusters]]
names = ["PROD-*"]
approvals = 1
note = "{NOTE}"

[[projects]]
name = "other"
id = "5b6212af90dc76637950a2c7"
"""


@pytest.fixture
def of_file(environ: Environ, tmp_path: Path) -> Environ:
    """Settings whose second project has a key that Atlas refuses."""
    path = tmp_path / "projects.toml"
    path.write_text(PROJECTS, encoding="utf-8")
    more = {
        "BOT_PROJECTS_FILE": str(path),
        "SHOP_PUBLIC_KEY": PUBLIC_KEY,
        "SHOP_PRIVATE_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": "another-key",
        "MONGODB_ATLAS_PROJECT_ID": "",
        "BOT_APPROVALS": "2",
    }
    return environ | more


async def test_list_has_what_could_be_read_and_names_the_project_that_could_not(
    of_file: Environ,
) -> None:
    ran = await run(of_file, "list")
    notes = {line["cluster"]: line["note"] for line in lines(ran.out)}

    assert ran.code == 1
    assert {line["project"] for line in lines(ran.out)} == {"Shop"}
    assert (notes["prod-eu"], notes["staging-eu"]) == (NOTE, None)
    assert ran.err.startswith("All clusters in other could not be read: ")


@pytest.mark.parametrize("project", ["shop", PROJECT_ID.upper()])
async def test_project_is_chosen_by_its_name_or_its_id(of_file: Environ, project: str) -> None:
    ran = await run(of_file, "list", "--project", project, "prod-eu")

    assert (ran.code, ran.err, len(lines(ran.out))) == (0, "", 3)


@pytest.mark.parametrize(
    ("target", "code", "deletes"),
    [
        (("shop", *RUNNING), 2, 0),
        (("shop", *STAGING), 0, 1),
        ((PROJECT_ID, *STAGING), 0, 1),
        (STAGING, 0, 1),
        (("other", *STAGING), 1, 0),
    ],
    ids=["cluster with approvals", "name", "id", "any project", "another project"],
)
async def test_cancel_goes_by_the_policy_of_the_cluster_and_the_key_of_the_project(
    of_file: Environ, atlas: FakeAtlasServer, target: tuple[str, ...], *, code: int, deletes: int
) -> None:
    ran = await run(of_file, "cancel", *target, *YES)

    assert ran.code == code
    assert ("--without-approval" in ran.err) == (code == 2)
    assert len(atlas.deletes()) == deletes
