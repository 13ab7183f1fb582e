"""The wheel, built from a copy of the sources, and a virtual environment that has it."""

import asyncio
import shutil
import subprocess
import sys
import sysconfig
from asyncio.subprocess import Process
from pathlib import Path
from venv import EnvBuilder

import aiohttp
import pytest

from tests.support.process import LISTENING

#: Seconds in which the bot must be ready.
START_TIMEOUT = 60.0

#: The files of the project that a build needs.
SOURCES = ("bot", "pyproject.toml", "README.md", "LICENSE")


def copy(names: tuple[str, ...], where: Path) -> Path:
    """Copy parts of the project, without the leftovers of earlier builds and runs."""
    where.mkdir(parents=True, exist_ok=True)
    for name in names:
        if Path(name).is_dir():
            shutil.copytree(name, where / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(name, where)
    return where


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy(SOURCES, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation nothing is downloaded: setuptools is one of the development dependencies.
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


async def until_ready(process: Process, log: asyncio.StreamReader | None) -> str:
    """Wait until the bot is ready, and return its port, which its log names.

    Kills a bot that is not ready in time, and raises an error with its output.
    """
    assert log
    try:
        async with asyncio.timeout(START_TIMEOUT), aiohttp.ClientSession() as session:
            while not (found := LISTENING.search((line := await log.readline()).decode())):
                assert line, "the bot ended"
            port = found[1]
            while process.returncode is None:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.ok:
                            return port
                except aiohttp.ClientError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.05)
    except TimeoutError:
        process.kill()
    pytest.fail(f"not ready: {await process.communicate()}")
