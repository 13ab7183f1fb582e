"""The image: what goes into it, its scripts, and a bot without the stand-ins."""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings.load import VARIABLES
from tests.support.environ import bot_environ
from tests.support.process import BotProcess, surroundings

DOCKERFILE = Path("Dockerfile").read_text(encoding="utf-8")
SCRIPTS: dict[str, str] = dict(
    re.findall(r"<<'EOF' /usr/local/bin/(\S+)\n(.*?)^EOF$", DOCKERFILE, re.DOTALL | re.MULTILINE)
)


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
    assert "hadolint" not in DOCKERFILE


def test_every_base_image_is_pinned_by_digest() -> None:
    text = DOCKERFILE + Path("docs/deploy/compose.yaml").read_text(encoding="utf-8")
    images = re.findall(r"(?:^FROM|^ +image:) (\S*[:@]\S*)", text, re.MULTILINE)

    assert len(images) == 3
    assert [image for image in images if not re.search(r"@sha256:[0-9a-f]{64}$", image)] == []


def test_build_gets_exactly_what_it_copies_and_no_stand_in() -> None:
    lines = Path(".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {
        name
        for line in re.findall(r"^COPY (?!-)(.+)$", DOCKERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    }

    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert {"bot/sandbox", "bot/demo"} <= set(lines)


def test_image_removes_what_builds_and_installs() -> None:
    pins = Path("requirements.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==(?:.*\n)((?: .*\n)+)", pins, re.MULTILINE)
    users = {
        name: set(re.findall(r"# (?:via )? *([a-z][\w.:-]*)", rest)) - {"via"}
        for name, rest in found
    }
    (removed,) = re.findall(r"uninstall --yes \\\n\s+(.+)", DOCKERFILE)
    build = {name for name, by in users.items() if by <= {"hatchling", "hatch-fancy-pypi-readme"}}

    assert "pathspec" in build
    assert set(removed.split()) >= {"hatchling", "hatch-fancy-pypi-readme", "pip", *build}


def test_image_sets_no_variable_that_would_win_over_a_mounted_env_file() -> None:
    (block,) = re.findall(r"\nENV PATH=((?:.*\\\n)*.*)\n", DOCKERFILE)

    assert set(re.findall(r"(\w+)=", block)) & set(VARIABLES) == set()


class Handler(BaseHTTPRequestHandler):
    """Answers /healthz, and 404 otherwise."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The scripts of the image, and a `cancel-restore` that prints its HOST and arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {**SCRIPTS, "cancel-restore": '#!/bin/bash\necho "$HOST" "$@"\n'}.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def run_script(programs: Path, name: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """Run a script as the container does, in the folder with `.env`."""
    result = subprocess.run(
        [name, *arguments],
        cwd=programs.parent,
        env={"PATH": f"{programs}:/usr/bin:/bin", **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=10,
    )
    return result.returncode, result.stdout.strip()


@pytest.mark.parametrize("line", ["PORT={}", " export PORT = '{}'  # of the host"])
def test_health_check_finds_the_port_of_a_mounted_env_file(
    line: str, port: int, programs: Path
) -> None:
    text = f"HOST=127.0.0.1\nPORT=1\n{line.format(port)}\n"
    (programs.parent / ".env").write_text(text, encoding="utf-8")

    assert run_script(programs, "is-healthy") == (0, "")


def test_health_check_takes_the_port_of_the_environment_first(port: int, programs: Path) -> None:
    (programs.parent / ".env").write_text("PORT=1\n", encoding="utf-8")

    assert run_script(programs, "is-healthy", PORT=str(port)) == (0, "")


def test_health_check_fails_if_nothing_or_an_error_answers(
    port: int, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "status", 503)

    assert run_script(programs, "is-healthy", PORT=str(port))[0] != 0
    assert run_script(programs, "is-healthy", PORT="1")[0] != 0


@pytest.mark.parametrize(
    ("file", "environ", "host"),
    [
        ("", {}, "0.0.0.0"),  # noqa: S104 - inside a container
        ("#HOST=10.0.0.1\n", {}, "0.0.0.0"),  # noqa: S104 - inside a container
        ("HOST=10.0.0.1\n", {}, "10.0.0.1"),
        ("HOST=10.0.0.1\n", {"HOST": "10.0.0.2"}, "10.0.0.2"),
    ],
)
def test_container_listens_everywhere_unless_env_file_or_environment_name_a_host(
    file: str, environ: dict[str, str], host: str, programs: Path
) -> None:
    (programs.parent / ".env").write_text(file, encoding="utf-8")

    assert run_script(programs, "start", "serve", **environ) == (0, f"{host} serve")
    assert '\nENTRYPOINT ["start"]\n' in DOCKERFILE


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as .dockerignore lets it through."""
    folder = tmp_path_factory.mktemp("lean")
    ignored = shutil.ignore_patterns("__pycache__", "sandbox", "demo")
    shutil.copytree("bot", folder / "bot", ignore=ignored)
    return folder


async def test_bot_without_the_stand_ins_serves_and_ends(lean: Path) -> None:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = bot_environ(slack, atlas, "sqlite:///bot.db")
        with BotProcess({**environ, "PYTHONPATH": str(lean)}) as process:
            await process.ready()
            code, log = await process.stop(5), process.log

    assert code == 0
    assert "Traceback" not in log


def test_demo_says_that_the_image_has_none(lean: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "bot", "demo", "--script"],
        env={**surroundings(), "PYTHONPATH": str(lean)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    assert ran.stderr.strip() == (
        "This installation has no demo: install the package from its sources."
    )
