"""The pages and examples of the settings agree with the models."""

import re
from pathlib import Path

from bot.settings.load import VARIABLES
from tests.support.settings import load
from tests.tools import settings_table


def test_page_has_the_table_and_the_example_of_the_code() -> None:
    """To update it: python -m tests.tools.settings_table."""
    page = settings_table.PAGE.read_text(encoding="utf-8")

    assert settings_table.updated(page) == page
    assert [line for line in page.splitlines() if line.startswith("|")] == [*settings_table.lines()]
    assert settings_table.EXAMPLE.read_text(encoding="utf-8") in page


def test_example_of_an_env_file_names_every_variable() -> None:
    text = Path(".env.example").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)) == sorted(VARIABLES)


def test_example_of_a_projects_file_is_loaded() -> None:
    settings = load(
        "MONGODB_ATLAS_PROJECT_ID",
        BOT_PROJECTS_FILE=str(settings_table.EXAMPLE),
        SHOP_PUBLIC_KEY="shopkey1",
        SHOP_PRIVATE_KEY="shop-private",
    )

    assert [project.name for project in settings.projects] == ["shop-prod", "shop-test"]
    assert settings.warnings == ()
