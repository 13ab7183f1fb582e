"""The `bot` that tests import, and that they start, is the installed one: in CI, the wheel's."""

import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

import bot


def installed() -> Path:
    """Return the folder that pip has installed `bot` in, or from where it is editable."""
    found = distribution("cancel-restore")
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return Path(unquote(urlsplit(origin["url"]).path), "bot")
    return Path(str(found.locate_file("bot")))


def test_tests_import_the_installed_bot() -> None:
    assert Path(bot.__file__).parent.samefile(installed())


def test_tests_start_the_installed_bot() -> None:
    printed = subprocess.run(
        [sys.executable, "-P", "-c", "import bot; print(bot.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert Path(printed.strip()).parent.samefile(installed())


def test_every_test_that_starts_the_bot_leaves_the_working_directory_out_of_its_path() -> None:
    """Without -P, tests in the source tree would use it instead of the installed package."""
    starts = re.compile(r'sys\.executable, ((?:"-\w", )+)"bot\b')
    found = [
        (path.name, flags)
        for path in Path("tests").rglob("*.py")
        for flags in starts.findall(path.read_text(encoding="utf-8"))
        if "bench" not in path.parts
    ]

    assert found
    assert [name for name, flags in found if flags != '"-P", "-m", '] == []
