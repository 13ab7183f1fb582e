"""The tree has no hosts of package indexes and no machine paths."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.git import git
from tests.support.required_programs import needs

# In pieces, so that this file does not match its own pattern.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "arti" + "factory", "code" + "artifact"]
HOSTS += ["npm" + "js.org", "proxy." + "golang"]
PATHS = ["/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "/opt/wh" + "eels"]
INDEXES = r"--(?:extra-)?index" + r"-url[= ]+\S*:"
FORBIDDEN = re.compile("|".join([*map(re.escape, [*HOSTS, *PATHS]), INDEXES]), re.IGNORECASE)


#: Folders that a copy without git has besides the project.
GENERATED = {".venv", "build", "dist", "__pycache__", "cancel_restore.egg-info"}
GENERATED |= {".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def tracked() -> list[Path]:
    """Return the files in git, or in a copy without it every file that nothing generated."""
    if Path(".git").exists() and shutil.which("git"):
        listed = git("ls-files", "-z").decode()
        return [path for name in listed.split("\0") if name and (path := Path(name)).is_file()]
    return [p for p in Path().rglob("*") if p.is_file() and not GENERATED & set(p.parts)]


def test_files_contain_no_package_index_and_no_machine_path() -> None:
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in tracked()}

    assert {path: found for path in texts if (found := FORBIDDEN.findall(texts[path]))} == {}


def test_git_reads_a_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("git")
    git("init", "--quiet", folder=tmp_path)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    assert git("rev-parse", "--is-inside-work-tree", folder=tmp_path) == b"true\n"


@pytest.mark.parametrize(
    "text",
    [
        "https://py" + "pi.org/simple",
        "see /wo" + "rk/notes.md",
        "--index" + "-url http://10.0.0.1/simple",
    ],
)
def test_package_index_and_machine_path_are_detected(text: str) -> None:
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("name", ["requirements.txt", ".ci/requirements.txt"])
def test_every_pin_has_hashes(name: str) -> None:
    text = Path(name).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]

    assert len(pins) > 30
    assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_container_installs_what_ci_tests() -> None:
    container, ci = pins_of("requirements.txt"), pins_of(".ci/requirements.txt")

    assert container - ci == set()


def pins_of(name: str) -> set[str]:
    return set(
        re.findall(r"^[\w.-]+==[\w.]+", Path(name).read_text(encoding="utf-8"), re.MULTILINE)
    )
