"""The Dockerfile's steps make a bot that runs as an unprivileged user on read-only code."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.packaging.conftest import until_ready
from tests.support.dockerfile import Stage, read_stages
from tests.support.environ import bot_environ

#: The first test installs the image's packages.
pytestmark = pytest.mark.timeout(300)

BUILDER, FINAL = read_stages()

#: The user of the container, without an account here: only root can become that.
STRANGER = int(FINAL.one("USER").rest.partition(":")[0]) if os.geteuid() == 0 else None

#: Only the test downloads from the cache (pip ignores an empty value) and compiles nothing.
FAST_PIP = {"PIP_NO_CACHE_DIR": "", "PIP_NO_COMPILE": "1"}


def base_python() -> str:
    """Return a Python that the bot's user may run, as the image's would be."""
    candidates = [sys.executable] if STRANGER is None else [sys.executable, "/usr/bin/python3"]
    check = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    for each in map(os.path.realpath, candidates):
        try:
            subprocess.run([each, "-c", check], user=STRANGER, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return each
    pytest.fail("no Python here that another user may run: apt-get install python3 python3-venv")


class Machine:
    """A folder in place of the image's root, with the paths of the Dockerfile."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def mapped(self, text: str) -> str:
        """Put the image's own folders under this root."""
        return re.sub(r"(?<![\w.])/(opt|src|data)\b", rf"{self.root}/\1", text)

    def build(self, stage: Stage) -> None:
        """Carry the builder's instructions out, in order."""
        python = base_python()
        folder = self.root
        for each in stage.instructions:
            if each.word == "WORKDIR":
                folder = self.path(each.rest)
                folder.mkdir(parents=True)
            elif each.word == "COPY":
                self.copy(each.rest.split(), folder)
            elif each.word == "RUN":
                line = re.sub(r"^python ", f"{python} ", self.mapped(each.rest))
                self.run(line, folder, stage.environment())

    def copy(self, names: list[str], folder: Path) -> None:
        *sources, target = names
        for name in sources:
            if Path(name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(name, folder / target, ignore=ignored)
            else:
                shutil.copy(name, folder / target)

    def run(self, line: str, folder: Path, environ: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        environ = kept | environ | FAST_PIP
        result = subprocess.run(
            ["/bin/sh", "-c", line], cwd=folder, env=environ, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

        assert result.returncode == 0, f"{line}\n{result.stderr}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="cancel-restore-image-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # the bot's user goes through it
        made = Machine(root)
        made.build(BUILDER)
        made.path("/data").mkdir()
        if STRANGER is not None:
            os.chown(made.path("/data"), STRANGER, STRANGER)
        frozen = [made.path("/opt"), *made.path("/opt").rglob("*")]
        for each in frozen:
            if not each.is_symlink():
                each.chmod(each.stat().st_mode & ~0o222)
        yield made
        for each in frozen:
            if each.is_dir() and not each.is_symlink():
                each.chmod(0o755)  # so that the folder can be removed


def test_hadolint_reports_nothing() -> None:
    """Hadolint checks Docker's own advice, and the shell lines too; no rule is disabled."""
    result = subprocess.run(
        [
            Path(sysconfig.get_path("scripts"), "hadolint"),
            "--failure-threshold=style",
            "Dockerfile",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "hadolint" not in Path("Dockerfile").read_text()


def test_every_base_image_is_pinned_by_digest() -> None:
    text = Path("Dockerfile").read_text(encoding="utf-8")
    text += Path("docs/deploy/compose.yaml").read_text(encoding="utf-8")
    images = re.findall(r"(?:^FROM|^ +image:) (\S*[:@]\S*)", text, re.MULTILINE)

    assert len(images) == 3
    assert [each for each in images if not re.search(r"@sha256:[0-9a-f]{64}$", each)] == []


def test_dockerignore_admits_exactly_the_copied_files() -> None:
    copied = {name for rest in BUILDER.all("COPY") for name in rest.split()[:-1]}
    let_through = set(re.findall(r"^!(\S+)", Path(".dockerignore").read_text(), re.MULTILINE))

    assert copied == let_through


def test_image_creates_its_user_who_owns_the_data_folder() -> None:
    uid, _, gid = FINAL.one("USER").rest.partition(":")
    (run,) = FINAL.all("RUN")

    assert f"groupadd --gid {gid} bot" in run
    assert f"useradd --uid {uid} --gid {gid} " in run
    assert f"install --directory --owner={uid} --group={gid} {FINAL.one('VOLUME').rest}" in run
    assert FINAL.environment()["DATABASE_URL"].startswith(f"sqlite:///{FINAL.one('VOLUME').rest}/")


def test_image_has_no_build_or_install_tools(machine: Machine) -> None:
    programs = {path.name for path in machine.path("/opt/venv/bin").iterdir()}
    (packages,) = machine.path("/opt/venv").glob("lib/python*/site-packages")
    builders = {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack"}

    assert "python -m pip uninstall --yes" in FINAL.all("RUN")[0]  # that of the base image
    assert "cancel-restore" in programs
    assert [name for name in programs if name.startswith(("pip", "wheel"))] == []
    assert builders & {path.name for path in packages.iterdir()} == set()


def in_the_image(
    machine: Machine, of_slack: FakeSlackServer, of_atlas: FakeAtlasServer
) -> dict[str, str]:
    """Return the variables that the image sets, and those that its user must set."""
    of_image = {n: machine.mapped(v) for n, v in FINAL.environment().items()}
    return (
        bot_environ(of_slack, of_atlas, of_image["DATABASE_URL"])
        | of_image
        | {
            "PATH": of_image["PATH"].replace("$PATH", os.environ["PATH"]),
            "HOST": "127.0.0.1",  # nothing of a test is open to others
            "PORT": "0",
        }
    )


async def start(machine: Machine, command: list[str], environ: dict[str, str]) -> Process:
    """Start a command of the Dockerfile as the image would."""
    program = shutil.which(command[0], path=environ["PATH"]) or command[0]
    return await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        env=environ,
        cwd=machine.path(FINAL.one("WORKDIR").rest),
        user=STRANGER,
        group=STRANGER,
        extra_groups=[] if STRANGER is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


async def end_of(process: Process, seconds: float) -> tuple[int | None, str]:
    """Wait for the end; return the exit code and the output."""
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, output.decode()


async def test_image_runs_read_only_and_passes_its_health_check(machine: Machine) -> None:
    command = FINAL.one("ENTRYPOINT").as_list() + FINAL.one("CMD").as_list()
    health = json.loads(FINAL.one("HEALTHCHECK").rest.partition("CMD ")[2])
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = in_the_image(machine, slack, atlas)
        process = await start(machine, command, environ)
        environ["PORT"] = await until_ready(process, process.stdout)
        checked = await end_of(await start(machine, health, environ), 10)
        process.send_signal(getattr(signal, FINAL.one("STOPSIGNAL").rest))
        code, output = await end_of(process, 15)

    assert checked == (0, "")
    assert (code, "Traceback" in output) == (0, False)
    assert (machine.path("/data") / "cancel-restore.db").exists()
