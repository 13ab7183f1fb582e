"""A project's DELETE goes with its own credentials; a command settles commits without an answer."""

from pathlib import Path

from sqlalchemy import Connection

from bot.atlas.logins import DigestKey
from bot.storage.migrate import create_tables
from bot.wiring import Core
from tests.support.settings import load

FILE = """
[[projects]]
name = "shop"
id = "5b6212af90dc76637950a2c6"
public_key_env = "SHOP_PUBLIC"
private_key_env = "SHOP_PRIVATE"

[[projects]]
name = "billing"
id = "5b6212af90dc76637950a2c7"
public_key_env = "BILLING_PUBLIC"
private_key_env = "BILLING_PRIVATE"
"""
KEYS = {
    "SHOP_PUBLIC": "shopkey1",
    "SHOP_PRIVATE": "0a1b-shop-private",
    "BILLING_PUBLIC": "billkey1",
    "BILLING_PRIVATE": "0a1b-bill-private",
}


async def test_canceller_of_a_project_has_the_credentials_of_that_project(tmp_path: Path) -> None:
    file = tmp_path / "projects.toml"
    file.write_text(FILE, encoding="utf-8")
    settings = load(
        "MONGODB_ATLAS_PROJECT_ID",
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        "MONGODB_ATLAS_PRIVATE_API_KEY",
        BOT_PROJECTS_FILE=str(file),
        DATABASE_URL=f"sqlite:///{tmp_path}/bot.db",
        **KEYS,
    )
    core = Core(settings)

    used = {}
    for project in core.projects:
        credentials = core.clients.canceller_of(project)._http.credentials
        assert isinstance(credentials, DigestKey)
        used[project.name] = (credentials.key_id, credentials.secret.get_secret_value())
    await core.close()

    assert used == {
        "shop": ("shopkey1", "0a1b-shop-private"),
        "billing": ("billkey1", "0a1b-bill-private"),
    }


class Stored:
    """A commit whose answer was lost, and whose events are in the database."""

    times_told = 0

    def is_stored(self, _db: Connection) -> bool:
        return True

    def tell(self) -> None:
        self.times_told += 1


async def test_command_tells_at_its_end_what_a_commit_without_an_answer_has_stored(
    tmp_path: Path,
) -> None:
    core, commit = Core(load(DATABASE_URL=f"sqlite:///{tmp_path}/bot.db")), Stored()
    await core.database.write(create_tables)
    core.database.doubtful.append(commit)

    await core.settle()
    await core.settle()
    await core.close()

    assert commit.times_told == 1
