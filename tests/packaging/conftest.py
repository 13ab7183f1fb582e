"""Sources as a build takes them, the wheel, and a virtual environment that has it."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from venv import EnvBuilder

import pytest

#: The files of the project that a build needs.
SOURCES = ("bot", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, without the leftovers of earlier builds and runs."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree("bot", folder / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES[1:]:
        shutil.copy(name, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation nothing is downloaded: hatchling is one of the development dependencies.
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sources)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, over the dependencies of this one.

    Its own packages come first, and a line of a .pth file does not start the editable install of
    the environment it names: `bot` is the wheel's.
    """
    venv = tmp_path_factory.mktemp("installed") / "venv"
    EnvBuilder(symlinks=True).create(venv)
    python = venv / "bin" / "python"
    (packages,) = venv.glob("lib/python*/site-packages")
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    # Only now: pip would take a `bot` that is installed over there for this one.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def pip(*arguments: str | Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
